#include "runtime/engine/portable/recurrent_loop.h"

#include <memory>

#include "openvino/core/model.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/result.hpp"
#include "openvino/op/tensor_iterator.hpp"

namespace coreml_delegate::engine::portable {

RecurrentOutputs build_recurrent_loop(const RecurrentLoop& loop) {
  const ov::PartialShape& steps = loop.steps.get_partial_shape();
  const ov::element::Type type = loop.steps.get_element_type();
  auto step =
      std::make_shared<ov::op::v0::Parameter>(type, ov::PartialShape{1, steps[1], steps[2]});
  ov::ParameterVector parameters = {step};
  ov::OutputVector before;
  for (const Output& initial : loop.initial) {
    auto state = std::make_shared<ov::op::v0::Parameter>(
        type, ov::PartialShape{steps[1], initial.get_partial_shape()[1]});
    parameters.push_back(state);
    before.push_back(state->output(0));
  }
  const ov::OutputVector after = loop.body(squeeze(step->output(0), {0}), before);
  ov::ResultVector results;
  for (const Output& state : after) results.push_back(std::make_shared<ov::op::v0::Result>(state));
  auto emitted = std::make_shared<ov::op::v0::Result>(unsqueeze(after.at(0), {0}));
  results.push_back(emitted);

  auto iterator = std::make_shared<ov::op::v0::TensorIterator>();
  iterator->set_body(std::make_shared<ov::Model>(results, parameters, "recurrent_step"));
  const int64_t first = loop.reverse ? -1 : 0, last = loop.reverse ? 0 : -1,
                stride = loop.reverse ? -1 : 1;
  iterator->set_sliced_input(step, loop.steps, first, stride, 1, last, 0);
  for (size_t i = 0; i < loop.initial.size(); ++i) {
    iterator->set_merged_input(parameters[i + 1], loop.initial[i], results[i]);
  }
  RecurrentOutputs outputs;
  const bool backwards = loop.reverse && loop.align_with_steps;
  outputs.sequence = iterator->get_concatenated_slices(
      emitted, backwards ? -1 : 0, backwards ? -1 : 1, 1, backwards ? 0 : -1, 0);
  for (size_t i = 0; i < loop.initial.size(); ++i)
    outputs.states.push_back(iterator->get_iter_value(results[i], -1));
  iterator->validate_and_infer_types();
  return outputs;
}

}  // namespace coreml_delegate::engine::portable
