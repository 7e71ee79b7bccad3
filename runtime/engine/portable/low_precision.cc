#include "runtime/engine/portable/low_precision.h"

#include "base/logging.h"
#include "openvino/op/fake_quantize.hpp"

namespace coreml_delegate::engine::portable {

namespace {

constexpr size_t kLevels = 256;

bool is_byte(const model::Constant& constant) {
  return constant.type.element == model::ElementType::kInt8 ||
         constant.type.element == model::ElementType::kUInt8;
}

}  // namespace

bool has_exact_integer_kernels(const CpuFeatures& features) {
  // oneDNN takes each kind of VNNI only together with the vectors of its level.
  return features.has({CpuFeature::kAvx2, CpuFeature::kAvxVnni}) ||
         features.has(kAvx512Core | CpuFeatures{CpuFeature::kAvx512Vnni});
}

NumericMode arithmetic_of(NumericMode mode) {
  if (mode != NumericMode::kLowPrecision) return mode;
  static const bool is_exact = [] {
    const bool result = has_exact_integer_kernels(cpu_features());
    if (!result) {
      COREML_DELEGATE_LOG(kInfo,
                          "low_precision computes as float32 on this processor, because OpenVINO's "
                          "integer kernels saturate without VNNI (docs/engine.md, Processors)");
    }
    return result;
  }();
  return is_exact ? mode : NumericMode::kFloat32;
}

std::optional<Output> low_precision_weight(const AffineWeight& weight) {
  if (!is_byte(*weight.data) || (weight.offset != nullptr && !is_byte(*weight.offset))) {
    return std::nullopt;
  }
  const std::vector<int64_t>& shape = weight.data->type.shape;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (weight.scale_shape[i] != 1 && weight.scale_shape[i] != shape[i]) return std::nullopt;
  }
  Output value = convert(constant_node(*weight.data), ov::element::f32);
  if (weight.offset != nullptr) {
    value = subtract(value, convert(constant_node(*weight.offset), ov::element::f32));
  }
  return multiply(
      value, make<ov::op::v0::Constant>(
                 ov::element::f32, ov::Shape(weight.scale_shape.begin(), weight.scale_shape.end()),
                 weight.scale));
}

Output low_precision_quantize(const Output& value, float scale, float zero_point, bool is_signed) {
  const float low = is_signed ? -128.0f : 0.0f;
  const float high = low + static_cast<float>(kLevels - 1);
  const Output integers = make<ov::op::v0::FakeQuantize>(value, f32((low - zero_point) * scale),
                                                         f32((high - zero_point) * scale), f32(low),
                                                         f32(high), kLevels);
  return convert(integers, is_signed ? ov::element::i8 : ov::element::u8);
}

}  // namespace coreml_delegate::engine::portable
