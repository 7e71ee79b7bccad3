// abs ... threshold, and cast: one argument, computed element by element.

#include "openvino/op/abs.hpp"
#include "openvino/op/acos.hpp"
#include "openvino/op/asin.hpp"
#include "openvino/op/atan.hpp"
#include "openvino/op/atanh.hpp"
#include "openvino/op/bitwise_and.hpp"
#include "openvino/op/ceiling.hpp"
#include "openvino/op/clamp.hpp"
#include "openvino/op/cos.hpp"
#include "openvino/op/cosh.hpp"
#include "openvino/op/erf.hpp"
#include "openvino/op/exp.hpp"
#include "openvino/op/floor.hpp"
#include "openvino/op/log.hpp"
#include "openvino/op/logical_not.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/minimum.hpp"
#include "openvino/op/multiply.hpp"
#include "openvino/op/not_equal.hpp"
#include "openvino/op/power.hpp"
#include "openvino/op/round.hpp"
#include "openvino/op/sign.hpp"
#include "openvino/op/sin.hpp"
#include "openvino/op/sinh.hpp"
#include "openvino/op/sqrt.hpp"
#include "openvino/op/tan.hpp"
#include "openvino/op/tanh.hpp"
#include "runtime/engine/portable/exact_arithmetic.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;

template <typename Op>
OpResults unary(OpContext& op) {
  return make<Op>(op.input("x"));
}

OpResults translate_identity(OpContext& op) {
  const Value x = op.value("x");
  if (x.output() == nullptr && x.constant() == nullptr) return x;  // Lists and states pass through.
  return op.input("x");
}

OpResults translate_square(OpContext& op) {
  const Output x = op.input("x");
  return make<ov::op::v1::Multiply>(x, x);
}

OpResults translate_exp2(OpContext& op) {
  const Output x = op.input("x");
  const Output two = scalar_like(x, 2);
  if (x.get_element_type() == ov::element::i32)
    return make<ExactArithmetic>(two, x, ExactKind::kPower);
  return make<ov::op::v1::Power>(two, x);
}

// x + epsilon, without a node for nothing.
Output plus_epsilon(OpContext& op, float default_epsilon) {
  const Output x = op.input("x");
  const float epsilon = op.real("epsilon", default_epsilon);
  return epsilon == 0.0f ? x : add(x, scalar_like(x, epsilon));
}

// The default of an epsilon is a value of the argument's type: 1e-12 is 0 in float16.
float default_epsilon(OpContext& op, float in_float32, float in_float16) {
  return op.element("x") == ElementType::kFloat16 ? in_float16 : in_float32;
}

OpResults translate_inverse(OpContext& op) {
  const Output x = plus_epsilon(op, default_epsilon(op, 1e-4f, 0x1.a38p-14f));
  return divide(scalar_like(x, 1), x);
}

OpResults translate_log(OpContext& op) {
  return make<ov::op::v0::Log>(plus_epsilon(op, default_epsilon(op, 1e-45f, 0)));
}

OpResults translate_rsqrt(OpContext& op) {
  const Output root = make<ov::op::v0::Sqrt>(plus_epsilon(op, default_epsilon(op, 1e-12f, 0)));
  return divide(scalar_like(root, 1), root);
}

OpResults translate_round(OpContext& op) {
  return make<ov::op::v5::Round>(op.input("x"), ov::op::v5::Round::RoundMode::HALF_TO_EVEN);
}

OpResults translate_clip(OpContext& op) {
  const Output x = op.input("x");
  const float low = op.real("alpha");
  const float high = op.real("beta");
  if (x.get_element_type() == ov::element::f32 && low <= high)
    return make<ov::op::v0::Clamp>(x, low, high);
  return make<ov::op::v1::Minimum>(make<ov::op::v1::Maximum>(x, scalar_like(x, low)),
                                   scalar_like(x, high));
}

OpResults translate_threshold(OpContext& op) {
  const Output x = op.input("x");
  const Output alpha = op.input("alpha");
  return make<ov::op::v1::Maximum>(x, alpha);
}

// Integers that are i32 inside wrap to 16 bits as a conversion in NumPy does; floats are limited
// first.
Output to_16_bits(const Output& x, bool is_signed) {
  Output value = x;
  if (value.get_element_type() == ov::element::f32) {
    value =
        make<ov::op::v0::Clamp>(value, is_signed ? -32768.0 : 0.0, is_signed ? 32767.0 : 65535.0);
    return convert(value, ov::element::i32);
  }
  value = convert(value, ov::element::i32);
  if (is_signed) value = add(value, i32_scalar(32768));
  value = make<ov::op::v13::BitwiseAnd>(value, i32_scalar(65535));
  return is_signed ? subtract(value, i32_scalar(32768)) : value;
}

OpResults translate_cast(OpContext& op) {
  const ElementType from = op.element("x");
  const ElementType to = op.output_type().element;
  const Output x = op.input("x");
  if (from == to) return x;
  switch (to) {
    case ElementType::kBool:
      return make<ov::op::v1::NotEqual>(x, scalar_like(x, 0));
    case ElementType::kInt16:
      if (from == ElementType::kInt8 || from == ElementType::kUInt8 || from == ElementType::kBool)
        break;
      return to_16_bits(x, true);
    case ElementType::kUInt16:
      if (from == ElementType::kUInt8 || from == ElementType::kBool) break;
      return to_16_bits(x, false);
    default:
      break;
  }
  return convert(x, runtime_type(to));
}

}  // namespace

OpTable elementwise_unary_ops() {
  static constexpr OpEntry kOps[] = {
      {"abs", unary<ov::op::v0::Abs>, Rounding::kNone},
      {"acos", unary<ov::op::v0::Acos>},
      {"asin", unary<ov::op::v0::Asin>},
      {"atan", unary<ov::op::v0::Atan>},
      {"atanh", unary<ov::op::v3::Atanh>},
      {"cast", translate_cast},
      {"ceil", unary<ov::op::v0::Ceiling>, Rounding::kNone},
      {"clip", translate_clip},
      {"cos", unary<ov::op::v0::Cos>},
      {"cosh", unary<ov::op::v0::Cosh>},
      {"erf", unary<ov::op::v0::Erf>},
      {"exp", unary<ov::op::v0::Exp>},
      {"exp2", translate_exp2},
      {"floor", unary<ov::op::v0::Floor>, Rounding::kNone},
      {"identity", translate_identity, Rounding::kNone},
      {"inverse", translate_inverse},
      {"log", translate_log},
      {"logical_not", unary<ov::op::v1::LogicalNot>},
      {"round", translate_round, Rounding::kNone},
      {"rsqrt", translate_rsqrt},
      {"sign", unary<ov::op::v0::Sign>, Rounding::kNone},
      {"sin", unary<ov::op::v0::Sin>},
      {"sinh", unary<ov::op::v0::Sinh>},
      {"sqrt", unary<ov::op::v0::Sqrt>},
      {"square", translate_square},
      {"tan", unary<ov::op::v0::Tan>},
      {"tanh", unary<ov::op::v0::Tanh>},
      {"threshold", translate_threshold},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
