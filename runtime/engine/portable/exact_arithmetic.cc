#include "runtime/engine/portable/exact_arithmetic.h"

#include <cmath>
#include <vector>

#include "base/strides.h"
#include "openvino/core/attribute_visitor.hpp"

namespace coreml_delegate::engine::portable {
namespace {

int32_t power(int32_t base, int32_t exponent) {
  if (exponent < 0) {
    if (base == 1) return 1;
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
    return 0;
  }
  uint32_t result = 1;
  uint32_t factor = static_cast<uint32_t>(base);
  for (auto left = static_cast<uint32_t>(exponent); left != 0; left >>= 1) {
    if ((left & 1u) != 0) result *= factor;
    factor *= factor;
  }
  return static_cast<int32_t>(result);
}

template <typename T>
void compute(ExactKind kind, const ov::Tensor& x, const ov::Tensor& y, ov::Tensor& result) {
  const ov::Shape& shape = result.get_shape();
  const size_t count = ov::shape_size(shape);
  const T* px = x.data<const T>();
  const T* py = y.data<const T>();
  T* out = result.data<T>();
  const std::vector<size_t> sx = broadcast_strides(x.get_shape(), shape);
  const std::vector<size_t> sy = broadcast_strides(y.get_shape(), shape);
  std::vector<size_t> index(shape.size(), 0);
  size_t ix = 0;
  size_t iy = 0;
  for (size_t i = 0; i < count; ++i) {
    out[i] = exact_arithmetic(kind, px[ix], py[iy]);
    for (size_t d = shape.size(); d-- > 0;) {
      ix += sx[d];
      iy += sy[d];
      if (++index[d] < shape[d]) break;
      ix -= sx[d] * shape[d];
      iy -= sy[d] * shape[d];
      index[d] = 0;
    }
  }
}

}  // namespace

int32_t exact_arithmetic(ExactKind kind, int32_t x, int32_t y) {
  if (kind == ExactKind::kPower) return power(x, y);
  if (kind == ExactKind::kCompare) return (x > y) - (x < y);
  if (y == 0) return 0;
  // In 64 bits, so that INT32_MIN / -1 wraps.
  const int64_t a = x;
  const int64_t b = y;
  const int64_t quotient = a / b;
  const int64_t remainder = a % b;
  const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
  switch (kind) {
    case ExactKind::kFloorDivide:
      return static_cast<int32_t>(quotient - (adjust ? 1 : 0));
    case ExactKind::kFloorModulo:
      return static_cast<int32_t>(remainder + (adjust ? b : 0));
    default:
      return static_cast<int32_t>(quotient);
  }
}

float exact_arithmetic(ExactKind kind, float x, float y) {
  // As numpy.divmod: from the exact remainder.
  float remainder = std::fmod(x, y);
  if (y == 0.0f) return kind == ExactKind::kFloorModulo ? remainder : x / y;
  float quotient = (x - remainder) / y;
  if (remainder != 0.0f) {
    if ((y < 0.0f) != (remainder < 0.0f)) {
      remainder += y;
      quotient -= 1.0f;
    }
  } else {
    remainder = std::copysign(0.0f, y);
  }
  if (kind == ExactKind::kFloorModulo) return remainder;
  if (quotient == 0.0f) return std::copysign(0.0f, x / y);
  float rounded = std::floor(quotient);
  if (quotient - rounded > 0.5f) rounded += 1.0f;
  return rounded;
}

ExactArithmetic::ExactArithmetic(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& y,
                                 ExactKind kind)
    : Op({x, y}), kind_(static_cast<int64_t>(kind)) {
  constructor_validate_and_infer_types();
}

void ExactArithmetic::validate_and_infer_types() {
  ov::element::Type type;
  NODE_VALIDATION_CHECK(
      this, ov::element::Type::merge(type, get_input_element_type(0), get_input_element_type(1)),
      "the arguments have different types");
  NODE_VALIDATION_CHECK(this,
                        type == ov::element::i32 || type == ov::element::f32 || type.is_dynamic(),
                        "the arguments must be i32 or f32");
  ov::PartialShape shape = get_input_partial_shape(0);
  NODE_VALIDATION_CHECK(this,
                        ov::PartialShape::broadcast_merge_into(shape, get_input_partial_shape(1),
                                                               ov::op::AutoBroadcastType::NUMPY),
                        "the arguments' shapes do not broadcast");
  set_output_type(0, type, shape);
}

std::shared_ptr<ov::Node> ExactArithmetic::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<ExactArithmetic>(inputs[0], inputs[1], static_cast<ExactKind>(kind_));
}

bool ExactArithmetic::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("kind", kind_);
  return true;
}

bool ExactArithmetic::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  ov::PartialShape shape = inputs[0].get_shape();
  if (!ov::PartialShape::broadcast_merge_into(shape, inputs[1].get_shape(),
                                              ov::op::AutoBroadcastType::NUMPY)) {
    return false;
  }
  outputs[0].set_shape(shape.to_shape());
  const auto kind = static_cast<ExactKind>(kind_);
  if (inputs[0].get_element_type() == ov::element::i32) {
    compute<int32_t>(kind, inputs[0], inputs[1], outputs[0]);
  } else if (inputs[0].get_element_type() == ov::element::f32) {
    compute<float>(kind, inputs[0], inputs[1], outputs[0]);
  } else {
    return false;
  }
  return true;
}

}  // namespace coreml_delegate::engine::portable
