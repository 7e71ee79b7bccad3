#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_LOOP_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_LOOP_H_

// A recurrent layer as a TensorIterator over time, for the variants OpenVINO's sequence nodes lack
// (peepholes, clipping of the cell, other activations). Throws as graph.h does.

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {

struct RecurrentLoop {
  // [steps, batch, n]: the part of each step that does not depend on the one before.
  Output steps;
  // [batch, hidden] each; the first is what the layer puts out at every step.
  ov::OutputVector initial;
  // From the last step to the first.
  bool reverse = false;
  // Whether the sequence of outputs is in the order of `steps` or in the order of processing.
  bool align_with_steps = true;
  // From one step [batch, n] and the states before it, the states after it.
  std::function<ov::OutputVector(const Output& step, const ov::OutputVector& states)> body;
};

struct RecurrentOutputs {
  Output sequence;          // [steps, batch, hidden]
  ov::OutputVector states;  // After the last step processed.
};

RecurrentOutputs build_recurrent_loop(const RecurrentLoop& loop);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_LOOP_H_
