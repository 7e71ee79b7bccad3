#include "runtime/engine/portable/round_to_half.h"

#include "base/half.h"

namespace coreml_delegate::engine::portable {

RoundToHalf::RoundToHalf(const ov::Output<ov::Node>& value) : Op({value}) {
  constructor_validate_and_infer_types();
}

void RoundToHalf::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, get_input_element_type(0).compatible(ov::element::f32),
                        "RoundToHalf takes f32");
  set_output_type(0, ov::element::f32, get_input_partial_shape(0));
}

std::shared_ptr<ov::Node> RoundToHalf::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<RoundToHalf>(inputs[0]);
}

bool RoundToHalf::visit_attributes(ov::AttributeVisitor&) { return true; }

bool RoundToHalf::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  if (inputs.size() != 1 || inputs[0].get_element_type() != ov::element::f32) return false;
  outputs[0].set_shape(inputs[0].get_shape());
  round_to_half(inputs[0].data<const float>(), outputs[0].data<float>(), inputs[0].get_size());
  return true;
}

}  // namespace coreml_delegate::engine::portable
