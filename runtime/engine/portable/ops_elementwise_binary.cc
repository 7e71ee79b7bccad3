// add ... sub: two arguments, broadcast as NumPy does.

#include <cmath>
#include <optional>

#include "openvino/op/add.hpp"
#include "openvino/op/clamp.hpp"
#include "openvino/op/divide.hpp"
#include "openvino/op/equal.hpp"
#include "openvino/op/hswish.hpp"
#include "openvino/op/less.hpp"
#include "openvino/op/less_eq.hpp"
#include "openvino/op/logical_and.hpp"
#include "openvino/op/logical_or.hpp"
#include "openvino/op/logical_xor.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/minimum.hpp"
#include "openvino/op/multiply.hpp"
#include "openvino/op/not_equal.hpp"
#include "openvino/op/power.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/subtract.hpp"
#include "runtime/engine/portable/exact_arithmetic.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

template <typename Op>
OpResults binary(OpContext& op) {
  return make<Op>(op.input("x"), op.input("y"));
}

// Whether each element is an i32 constant whose neighbours are floats too.
bool is_exact_as_float(const Output& value) {
  auto constant = std::dynamic_pointer_cast<ov::op::v0::Constant>(value.get_node_shared_ptr());
  if (constant == nullptr) return false;
  for (const int32_t element : constant->cast_vector<int32_t>()) {
    if (element <= -(1 << 24) || element >= 1 << 24) return false;
  }
  return true;
}

// The plugin compares integers as floats, to which 2^24 and 2^24 + 1 are equal. Rounding keeps the
// order, so one side that has no such neighbours makes its answer right; else the sign of an exact
// comparison is compared.
template <typename Op>
OpResults compare(const Output& x, const Output& y) {
  if (x.get_element_type() != ov::element::i32 || is_exact_as_float(x) || is_exact_as_float(y)) {
    return make<Op>(x, y);
  }
  const Output zero = ov::op::v0::Constant::create(ov::element::i32, ov::Shape{}, {0})->output(0);
  return make<Op>(make<ExactArithmetic>(x, y, ExactKind::kCompare), zero);
}

template <typename Op>
OpResults comparison(OpContext& op) {
  return compare<Op>(op.input("x"), op.input("y"));
}

// x > y is y < x: the plugin's Greater and GreaterEqual are true for NaN.
template <typename Op>
OpResults swapped_comparison(OpContext& op) {
  return compare<Op>(op.input("y"), op.input("x"));
}

template <ExactKind kind>
OpResults exact(OpContext& op) {
  const Output x = op.input("x");
  return make<ExactArithmetic>(x, op.input("y"), kind);
}

OpResults translate_real_div(OpContext& op) {
  const Output x = op.input("x");
  const Output y = op.input("y");
  if (x.get_element_type() == ov::element::i32)
    return make<ExactArithmetic>(x, y, ExactKind::kTruncateDivide);
  return divide(x, y);
}

OpResults translate_pow(OpContext& op) {
  const Output x = op.input("x");
  const Output y = op.input("y");
  if (x.get_element_type() == ov::element::i32)
    return make<ExactArithmetic>(x, y, ExactKind::kPower);
  return make<ov::op::v1::Power>(x, y);
}

// --- Hard swish. torch's hardswish reaches MIL as thresholded_relu(x, -3) * sigmoid_hard(x, 1/6,
// 0.5), the 1/6 rounded to the program's type. OpenVINO has a kernel for u * clamp(u / 6 + 1/2, 0,
// 1) that runs inside the convolution before it. With u = 6 alpha x that is exactly 6 alpha times
// what the program asks for, whatever alpha is, except that thresholded_relu cuts at -3 and not
// where the second factor reaches 0: for x between the two, at most 3 |1/2 - 3 alpha| is lost (0 in
// float32, 4e-4 in float16 programs).

template <typename Op>
std::shared_ptr<Op> node_of(const Output& value) {
  return std::dynamic_pointer_cast<Op>(value.get_node_shared_ptr());
}

// The number when the value is a constant of one element.
std::optional<float> scalar_of(const Output& value) {
  auto constant = node_of<ov::op::v0::Constant>(value);
  if (constant == nullptr || ov::shape_size(constant->get_shape()) != 1) return std::nullopt;
  return constant->cast_vector<float>()[0];
}

struct HardSigmoid {
  Output x;
  float alpha = 0;
};

// clamp(x * alpha + 1/2, 0, 1) as ops_activation.cc builds it.
std::optional<HardSigmoid> match_hard_sigmoid(const Output& value) {
  auto clamp = node_of<ov::op::v0::Clamp>(value);
  if (clamp == nullptr || clamp->get_min() != 0.0 || clamp->get_max() != 1.0) return std::nullopt;
  auto sum = node_of<ov::op::v1::Add>(clamp->input_value(0));
  if (sum == nullptr || scalar_of(sum->input_value(1)) != 0.5f) return std::nullopt;
  auto product = node_of<ov::op::v1::Multiply>(sum->input_value(0));
  if (product == nullptr) return std::nullopt;
  std::optional<float> alpha = scalar_of(product->input_value(1));
  if (!alpha) return std::nullopt;
  return HardSigmoid{product->input_value(0), *alpha};
}

// Whether `value` is x, or x with everything below -3 set to 0 as ops_activation.cc builds it.
bool is_x_above_minus_three(const Output& value, const Output& x) {
  if (value == x) return true;
  auto select = node_of<ov::op::v1::Select>(value);
  if (select == nullptr || select->input_value(2) != x || scalar_of(select->input_value(1)) != 0.0f)
    return false;
  auto condition = node_of<ov::op::v1::Less>(select->input_value(0));
  return condition != nullptr && condition->input_value(0) == x &&
         scalar_of(condition->input_value(1)) == -3.0f;
}

std::optional<Output> hard_swish(const Output& a, const Output& b) {
  std::optional<HardSigmoid> factor = match_hard_sigmoid(b);
  if (!factor || !is_x_above_minus_three(a, factor->x)) return std::nullopt;
  const float scale = 6.0f * factor->alpha;
  if (std::abs(scale - 1.0f) > 1e-3f) return std::nullopt;
  if (std::abs(scale - 1.0f) < 1e-6f) return make<ov::op::v4::HSwish>(factor->x);
  const Output scaled = multiply(factor->x, f32(scale));
  return multiply(make<ov::op::v4::HSwish>(scaled), f32(1.0f / scale));
}

OpResults translate_mul(OpContext& op) {
  const Output x = op.input("x");
  const Output y = op.input("y");
  if (op.numeric_mode() != NumericMode::kFloat16) {
    if (auto fused = hard_swish(x, y)) return *fused;
    if (auto fused = hard_swish(y, x)) return *fused;
  }
  return multiply(x, y);
}

}  // namespace

OpTable elementwise_binary_ops() {
  static constexpr OpEntry kOps[] = {
      {"add", binary<ov::op::v1::Add>},
      {"equal", comparison<ov::op::v1::Equal>},
      {"floor_div", exact<ExactKind::kFloorDivide>},
      {"greater", swapped_comparison<ov::op::v1::Less>},
      {"greater_equal", swapped_comparison<ov::op::v1::LessEqual>},
      {"less", comparison<ov::op::v1::Less>},
      {"less_equal", comparison<ov::op::v1::LessEqual>},
      {"logical_and", binary<ov::op::v1::LogicalAnd>},
      {"logical_or", binary<ov::op::v1::LogicalOr>},
      {"logical_xor", binary<ov::op::v1::LogicalXor>},
      {"maximum", binary<ov::op::v1::Maximum>, Rounding::kNone},
      {"minimum", binary<ov::op::v1::Minimum>, Rounding::kNone},
      {"mod", exact<ExactKind::kFloorModulo>},
      {"mul", translate_mul},
      {"not_equal", comparison<ov::op::v1::NotEqual>},
      {"pow", translate_pow},
      {"real_div", translate_real_div},
      {"sub", binary<ov::op::v1::Subtract>},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
