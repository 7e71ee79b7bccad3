#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATOR_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATOR_H_

// MIL -> OpenVINO: one function of an ML Program becomes an ov::Model that computes the same.
//
//   COREML_DELEGATE_ASSIGN_OR_RETURN(
//       const Translation translation,
//       translate(function, {.numeric_mode = NumericMode::kFloat32}));
//   ov::CompiledModel compiled = core.compile_model(
//       translation.model, "CPU", ov::hint::inference_precision(ov::element::f32));
//
// Borders: input i of `inputs` is input i of the model, output i of `outputs` is output i, each
// with exactly the MIL type (f16 for fp16, i16, u8, boolean ...), so that a caller's buffer is
// bound as it is. Inside, float16 is computed in f32.
//
// States are bound as further inputs and outputs: the value before the call goes in at
// `input_index`, the value after it comes out at `output_index`, both in `element` (f32 for a
// float16 state). The caller keeps two buffers per state and swaps them when a call succeeded;
// nothing of a State lives in the infer request, and a failed call changes nothing.
//
// Thread rule: translate() may be called from several threads; a Translation belongs to one.
// Errors: kCorruptData for a malformed program, kUnsupported for an operation or attribute this
// engine lacks; both name the operation, its output and the opset.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "openvino/core/extension.hpp"
#include "openvino/core/model.hpp"
#include "openvino/core/type/element_type.hpp"
#include "runtime/engine/engine.h"
#include "runtime/engine/portable/shared_weights.h"
#include "runtime/model/program.h"

namespace coreml_delegate::engine::portable {

struct TranslateOptions {
  NumericMode numeric_mode = NumericMode::kFloat32;
  // Makes every value of the function's body that can be one an output of the model, after the
  // function's own outputs and states: Translation::intermediates. For inspection; such a model
  // runs slower.
  bool expose_intermediate_values = false;
  // Asked between operations; true ends the translation with kCancelled. May be empty.
  std::function<bool()> is_cancelled;
  // Use the ranges of input_features as bounds of the graph's dynamic dimensions.
  bool use_feature_ranges = true;
  // Whose memory the function's constants lie in: ModelSource::memory.
  std::string memory;
};

struct PortBinding {
  std::string name;       // The MIL name.
  model::ValueType type;  // The MIL type.
  size_t index = 0;       // Of the model's inputs, or of its outputs.
};

struct StateBinding {
  std::string name;
  model::ValueType type;      // The wrapped tensor's MIL type: element and shape, kind kTensor.
  ov::element::Type element;  // The type of the buffers.
  size_t input_index = 0;     // Of the model's inputs.
  std::optional<size_t>
      output_index;  // Of the model's outputs; none: this function only reads the state.
};

// Where a node of the graph comes from.
struct Origin {
  std::string output;  // The MIL operation's first output.
  std::string type;    // The MIL operation's type.
};

struct Translation {
  std::shared_ptr<ov::Model> model;
  std::vector<PortBinding> inputs;
  std::vector<PortBinding> outputs;
  std::vector<StateBinding> states;
  std::vector<PortBinding> intermediates;
  // By friendly name, for every node of the graph. Nodes made by OpenVINO's own passes are not in
  // it.
  std::map<std::string, Origin, std::less<>> origins;
  // What StoredLinear nodes multiply by: not part of an exported graph.
  WeightLayout weights;
};

Result<Translation> translate(const model::Function& function, const TranslateOptions& options);

// Classes of nodes of ours that may occur in a translated graph: Core::add_extension() needs them
// before a graph that was exported is imported again.
std::vector<std::shared_ptr<ov::Extension>> graph_extensions();

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATOR_H_
