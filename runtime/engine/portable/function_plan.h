#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_FUNCTION_PLAN_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_FUNCTION_PLAN_H_

// How the ports of an OpenVINO graph stand for the inputs, outputs and states of a function: what
// has to be kept beside a compiled graph to execute it. Knows nothing of OpenVINO.
//
// Thread rule: values.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/tensor_type.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::portable {

// An input or output of the function. The port's element type is the description's.
struct PortPlan {
  size_t index = 0;        // Of the graph's inputs, or of its outputs.
  bool is_scalar = false;  // The port has rank 0 where the description says [1].
  bool operator==(const PortPlan&) const = default;
};

struct StatePlan {
  DataType buffer_type = DataType::kInvalid;  // Of the graph's ports; the description's may be
                                              // another (float16 kept as float32).
  size_t input_index = 0;
  std::optional<size_t> output_index;  // None: the function only reads the state.
  bool operator==(const StatePlan&) const = default;
};

// The operation of the program that a node of the graph stands for.
struct OperationName {
  std::string output;
  std::string type;
  bool operator==(const OperationName&) const = default;
};

struct FunctionPlan {
  FunctionDescription description;
  std::vector<PortPlan> inputs;  // In the order of the description, as the next two.
  std::vector<PortPlan> outputs;
  std::vector<StatePlan> states;
  std::map<std::string, OperationName, std::less<>> operations;  // By the node's friendly name.
};

// As JSON, and back. A text that to_json() did not make gives corrupt_data.
std::string to_json(const FunctionPlan& plan);
Result<FunctionPlan> function_plan_from_json(std::string_view text);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_FUNCTION_PLAN_H_
