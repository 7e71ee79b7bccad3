#include "runtime/engine/portable/check_indices.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "openvino/core/except.hpp"

namespace coreml_delegate::engine::portable {

CheckIndices::CheckIndices(const ov::Output<ov::Node>& indices, const ov::Output<ov::Node>& limits,
                           What what)
    : Op({indices, limits}), what_(static_cast<int64_t>(what)) {
  constructor_validate_and_infer_types();
}

void CheckIndices::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, get_input_element_type(0).compatible(ov::element::i32),
                        "the indices must be i32");
  set_output_type(0, ov::element::i32, get_input_partial_shape(0));
}

std::shared_ptr<ov::Node> CheckIndices::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<CheckIndices>(inputs[0], inputs[1], static_cast<What>(what_));
}

bool CheckIndices::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("what", what_);
  return true;
}

bool CheckIndices::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const ov::Tensor& indices = inputs[0];
  if (indices.get_element_type() != ov::element::i32) return false;
  std::vector<int64_t> limits;
  for (size_t i = 0; i < inputs[1].get_size(); ++i) {
    // The CPU plugin keeps i64 as i32.
    if (inputs[1].get_element_type() == ov::element::i64) {
      limits.push_back(inputs[1].data<const int64_t>()[i]);
    } else if (inputs[1].get_element_type() == ov::element::i32) {
      limits.push_back(inputs[1].data<const int32_t>()[i]);
    } else {
      return false;
    }
  }
  OPENVINO_ASSERT(!limits.empty(), "the node has no limits against which indices could be checked");
  const int32_t* values = indices.data<const int32_t>();
  if (static_cast<What>(what_) == What::kLimits && indices.get_size() != 0) {
    OPENVINO_ASSERT(std::find(limits.begin(), limits.end(), int64_t{0}) == limits.end(),
                    "the operation needs elements of a tensor that has none (", get_friendly_name(),
                    ")");
  }
  const size_t checked = static_cast<What>(what_) == What::kIndices ? indices.get_size() : 0;
  for (size_t i = 0; i < checked; ++i) {
    const int64_t limit = limits[i % limits.size()];
    OPENVINO_ASSERT(values[i] >= 0 && values[i] < limit, "the index ", values[i],
                    " lies outside [0, ", limit, "), which validate_indices makes an error (",
                    get_friendly_name(), ")");
  }
  outputs[0].set_shape(indices.get_shape());
  std::copy_n(values, indices.get_size(), outputs[0].data<int32_t>());
  return true;
}

bool may_be_empty(const Output& value, int64_t axis) {
  const int64_t position = axis < 0 ? axis + rank(value) : axis;
  return value.get_partial_shape()[static_cast<size_t>(position)].get_min_length() == 0;
}

Output unless_empty(const Output& source, const std::vector<int64_t>& axes, const Output& value) {
  const Output none = make<ov::op::v0::Constant>(ov::element::i32, ov::Shape{1}, 0);
  const Output check = indices_into(source, axes, none);
  return check == none ? value : add(value, convert(check, value.get_element_type()));
}

Output indices_into(const Output& value, const std::vector<int64_t>& axes, const Output& indices) {
  std::vector<int64_t> unsure;
  for (const int64_t axis : axes) {
    if (may_be_empty(value, axis)) unsure.push_back(axis < 0 ? axis + rank(value) : axis);
  }
  if (unsure.empty()) return indices;
  return make<CheckIndices>(indices, pick(shape_of(value), unsure), CheckIndices::What::kLimits);
}

}  // namespace coreml_delegate::engine::portable
