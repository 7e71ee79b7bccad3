#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_BINDING_PLAN_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_BINDING_PLAN_H_

// Which argument of a delegate call is which input or output of the model: settled once, when the
// call is initialised, from what the blob says and what the engine found in the model.

#include <string>
#include <vector>

#include "base/status.h"
#include "base/tensor_type.h"
#include "blob/blob.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

struct ArgumentPlan {
  std::string what;  // "input x (argument 0)", for messages.
  // As the blob declares the ExecuTorch tensor. dtype kInvalid: the blob (a stock one) says
  // nothing, any tensor that fits will do.
  TensorSpec declared;
  // As the model has it.
  TensorSpec model;
  size_t model_index = 0;   // Among the model's inputs or outputs.
  bool is_dynamic = false;  // The model's shape is not fixed.
};

struct BindingPlan {
  std::vector<ArgumentPlan> inputs;   // In the order of the call's arguments;
  std::vector<ArgumentPlan> outputs;  // these follow.
};

// corrupt_data when the blob's names, counts or shapes are not those of the model.
Result<BindingPlan> make_binding_plan(const blob::Function& function,
                                      const engine::FunctionDescription& description);

// The values the states start with, in the model's dtypes, by the blob. corrupt_data when the
// blob's states are not the model's.
Result<std::vector<engine::InitialStateValue>> initial_state_values(
    const blob::Blob& blob, const blob::Function& function,
    const engine::FunctionDescription& description);

// Core ML has no rank 0: a tensor of rank 0 stands for one of shape [1].
bool is_scalar_for(size_t tensor_rank, const TensorSpec& model);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_BINDING_PLAN_H_
