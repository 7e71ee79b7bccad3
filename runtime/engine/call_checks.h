#ifndef COREML_DELEGATE_RUNTIME_ENGINE_CALL_CHECKS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_CALL_CHECKS_H_

// What every engine refuses of a call: another number of tensors than the function has, types,
// shapes and layouts that do not fit, memory that is too small, and a state where none belongs. An
// engine says which layouts it takes.
//
//   Status check(const FunctionDescription& function, std::span<const ConstTensorView> inputs,
//                std::span<const TensorView> outputs, const ExecuteOptions& options) {
//     COREML_DELEGATE_RETURN_IF_ERROR(check_inputs(function, Layouts::kContiguous, inputs));
//     COREML_DELEGATE_RETURN_IF_ERROR(check_outputs(function, Layouts::kContiguous, outputs));
//     return check_has_state(function, options.state);
//   }
//
// A refusal is invalid_argument, and names the function, or the tensor as the function has it.
//
// Thread rule: pure functions.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/function_description.h"
#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

// The layouts of tensors that an engine reads and writes.
enum class Layouts {
  kContiguous,  // Elements lie one after the other.
  kDisjoint,    // No two elements share memory.
};

// Whether an engine that takes `layouts` takes these strides for this shape.
bool accepts_strides(Layouts layouts, std::span<const int64_t> shape,
                     std::span<const int64_t> strides);

Status check_inputs(const FunctionDescription& function, Layouts layouts,
                    std::span<const ConstTensorView> inputs);

// Without the capacities, which are check_capacity()'s.
Status check_outputs(const FunctionDescription& function, Layouts layouts,
                     std::span<const TensorView> outputs);

// Of the output with this index, whose extents are known by now: whether they fit `view`. Sets the
// shape of `view` to them. engine_failure when they have another rank than the function says.
Status check_capacity(const FunctionDescription& function, size_t output,
                      std::span<const int64_t> extents, TensorView* view);

// Whether a state was passed exactly if the function has states.
Status check_has_state(const FunctionDescription& function, const State* state);

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_CALL_CHECKS_H_
