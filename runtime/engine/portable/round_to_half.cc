#include "runtime/engine/portable/round_to_half.h"

#include <bit>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>

#include "base/cpu_features.h"
#endif

namespace coreml_delegate::engine::portable {
namespace {

float round_one(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits & 0x80000000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t result;
  if (magnitude > 0x7f800000u) {
    result = magnitude | 0x00400000u;  // NaN, quiet.
  } else if (magnitude >= 0x477ff000u) {
    result = 0x7f800000u;  // From 65520 on the nearest is infinity.
  } else if (magnitude >= 0x38800000u) {
    // Normal halves: 10 of 23 mantissa bits stay. A carry into the exponent is what rounding up
    // means.
    result = (magnitude + 0xfffu + ((magnitude >> 13) & 1u)) & ~0x1fffu;
  } else {
    // Denormal halves are multiples of 2^-24: adding 0.5, whose last bit is worth 2^-24, rounds to
    // one.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    result = std::bit_cast<uint32_t>(sum - 0.5f);
  }
  return std::bit_cast<float>(sign | result);
}

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) void round_with_f16c(const float* source, float* destination,
                                                         size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i half =
        _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_ps(destination + i, _mm256_cvtph_ps(half));
  }
  for (; i < count; ++i) destination[i] = round_one(source[i]);
}
#endif

}  // namespace

void round_to_half(const float* source, float* destination, size_t count) {
#if defined(__x86_64__)
  static const bool has_f16c = cpu_features().has({CpuFeature::kAvx, CpuFeature::kF16c});
  if (has_f16c) {
    round_with_f16c(source, destination, count);
    return;
  }
#endif
  for (size_t i = 0; i < count; ++i) destination[i] = round_one(source[i]);
}

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
