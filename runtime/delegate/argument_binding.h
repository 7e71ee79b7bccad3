#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_ARGUMENT_BINDING_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_ARGUMENT_BINDING_H_

// Brings the tensors of a delegate call to the model and its results back.
//
//   COREML_DELEGATE_RETURN_IF_ERROR(binding.bind(args));  // Checks everything, converts inputs.
//   Status status = model.execute(binding.inputs(), binding.outputs(), options);
//   if (status.ok()) {
//     status = binding.finish();  // Converts outputs, sets dynamic shapes.
//   } else {
//     binding.abandon();
//   }
//
// A tensor whose dtype and layout the model takes is passed as it is, in any dim order the engine
// can address; others go through buffers that are kept from call to call. Nothing is allocated in a
// call whose shapes came before.
//
// Thread rule: one thread at a time.

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/span.h>

#include <array>
#include <span>
#include <vector>

#include "base/status.h"
#include "runtime/delegate/aligned_buffer.h"
#include "runtime/delegate/binding_plan.h"
#include "runtime/delegate/tensor_conversion.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

class ArgumentBinding {
 public:
  // `model` is borrowed and outlives the binding.
  ArgumentBinding(BindingPlan plan, const engine::Model& model);
  ArgumentBinding(const ArgumentBinding&) = delete;
  ArgumentBinding& operator=(const ArgumentBinding&) = delete;

  // Checks number, kind, dtype, rank, shape and memory of every argument before anything is
  // written, then converts the inputs that need it. invalid_argument names the argument. On failure
  // no output was written and outputs have the shapes they had.
  Status bind(executorch::runtime::Span<executorch::runtime::EValue*> args);

  // In the model's order; valid after bind().
  std::span<const engine::ConstTensorView> inputs() const { return input_views_; }
  std::span<engine::TensorView> outputs() { return output_views_; }

  // Whether finish() may fail after a successful execution: a conversion that not every value
  // survives, or a result whose shape a tensor may not be able to take. Whoever has a state to
  // protect asks before executing.
  bool finish_can_fail() const { return finish_can_fail_; }
  // Whether some tensor had to be converted or copied in this call.
  bool converts_inputs() const { return converts_inputs_; }
  bool converts_outputs() const { return converts_outputs_; }

  // After a successful execution. On failure the content of outputs is unspecified.
  Status finish();
  // After a failed one: gives the outputs back the shapes they had before bind().
  void abandon();

  const BindingPlan& plan() const { return plan_; }

 private:
  using Extents = std::array<int64_t, kMaxConversionRank>;

  // A tensor as the model sees it.
  struct Argument {
    executorch::aten::TensorImpl* tensor = nullptr;
    DataType dtype = DataType::kInvalid;
    size_t rank = 0;  // The model's.
    Extents shape{};
    Extents strides{};          // The tensor's own.
    Extents contiguous{};       // Of the buffer, for `shape`.
    bool is_converted = false;  // Goes through `buffer`.
    AlignedBuffer buffer;
    // Outputs: what the tensor was before, and the largest it has been seen as, which is what its
    // memory holds.
    std::vector<executorch::aten::SizesType> previous_sizes;
    std::vector<executorch::aten::SizesType> bound_sizes;
    const executorch::aten::TensorImpl* bound_of = nullptr;
    bool was_resized = false;
  };

  Status check(const ArgumentPlan& plan, executorch::runtime::EValue* value,
               Argument& argument) const;
  Status check_shape(const ArgumentPlan& plan, const Argument& argument) const;
  // Inputs with enumerated shapes must all have the shape at one index of their lists.
  Status check_combination() const;
  Status prepare_input(const ArgumentPlan& plan, Argument& argument);
  Status prepare_output(const ArgumentPlan& plan, Argument& argument);
  Status finish_output(const ArgumentPlan& plan, Argument& argument);
  // Makes the output as large as its memory, so that its capacity is known.
  Status open_output(const ArgumentPlan& plan, Argument& argument);
  void read_layout(const ArgumentPlan& plan, Argument& argument) const;

  const BindingPlan plan_;
  const engine::Model& model_;
  std::vector<Argument> inputs_;
  std::vector<Argument> outputs_;
  std::vector<engine::ConstTensorView> input_views_;
  std::vector<engine::TensorView> output_views_;
  bool finish_can_fail_ = false;
  bool converts_inputs_ = false;
  bool converts_outputs_ = false;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_ARGUMENT_BINDING_H_
