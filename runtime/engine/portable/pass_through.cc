#include "runtime/engine/portable/pass_through.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "openvino/op/constant.hpp"
#include "openvino/op/parameter.hpp"

namespace coreml_delegate::engine::portable {

PassThrough::PassThrough(const ov::Output<ov::Node>& value) : Op({value}) {
  constructor_validate_and_infer_types();
}

void PassThrough::validate_and_infer_types() {
  set_output_type(0, get_input_element_type(0), get_input_partial_shape(0));
}

std::shared_ptr<ov::Node> PassThrough::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<PassThrough>(inputs[0]);
}

bool PassThrough::visit_attributes(ov::AttributeVisitor&) { return true; }

bool PassThrough::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  inputs[0].copy_to(outputs[0]);
  return true;
}

bool may_be_a_parameter(const Output& value) {
  // Data in the first argument; the others say how.
  static constexpr std::string_view kMoves[] = {"Broadcast", "Clamp",     "Concat",       "Convert",
                                                "Gather",    "Pad",       "Reshape",      "Slice",
                                                "Split",     "Squeeze",   "StridedSlice", "Tile",
                                                "Transpose", "Unsqueeze", "VariadicSplit"};
  // No effect with 0, or 1, as the other argument.
  static constexpr std::string_view kSums[] = {"Add", "Subtract"};
  static constexpr std::string_view kProducts[] = {"Divide", "Multiply", "Power"};
  auto is_all = [](const Output& output, double number) {
    auto* constant = dynamic_cast<ov::op::v0::Constant*>(output.get_node());
    return constant != nullptr && constant->get_all_data_elements_bitwise_identical() &&
           ov::shape_size(constant->get_shape()) != 0 &&
           constant->cast_vector<double>(1)[0] == number;
  };
  auto is_one_of = [](std::string_view type, std::span<const std::string_view> types) {
    return std::find(types.begin(), types.end(), type) != types.end();
  };
  Output at = value;
  for (;;) {
    ov::Node* const node = at.get_node();
    if (dynamic_cast<ov::op::v0::Parameter*>(node) != nullptr) return true;
    const std::string_view type = node->get_type_info().name;
    if (is_one_of(type, kMoves)) {
      at = node->input_value(0);
      continue;
    }
    if (!is_one_of(type, kSums) && !is_one_of(type, kProducts)) return false;
    const double neutral = is_one_of(type, kSums) ? 0 : 1;
    if (is_all(node->input_value(1), neutral)) {
      at = node->input_value(0);
    } else if (is_all(node->input_value(0), neutral)) {
      at = node->input_value(1);
    } else {
      return false;
    }
  }
}

}  // namespace coreml_delegate::engine::portable
