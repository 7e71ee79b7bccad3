#include "runtime/delegate/half_conversion.h"

#include <bit>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>

#include "base/cpu_features.h"
#endif

namespace coreml_delegate {
namespace {

float to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  // Zero and subnormals: mantissa * 2^-24, exact in float.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

uint16_t to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    // A quiet NaN with the upper bits of its payload, as the instruction gives.
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more.
  if (magnitude < 0x38800000u) {
    // Subnormal in half: adding 0.5 lets the addition round at the right bit, as 0.5's last place
    // is 2^-24.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3f000000u));
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

#if defined(__x86_64__)

__attribute__((target("avx,f16c"))) void half_to_float_f16c(const uint16_t* source,
                                                            float* destination, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(
        destination + i,
        _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i))));
  }
  half_to_float_portable(source + i, destination + i, count - i);
}

__attribute__((target("avx,f16c"))) void float_to_half_f16c(const float* source,
                                                            uint16_t* destination, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(destination + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT));
  }
  float_to_half_portable(source + i, destination + i, count - i);
}

bool has_f16c() {
  static const bool has = cpu_features().has({CpuFeature::kAvx, CpuFeature::kF16c});
  return has;
}

#endif

}  // namespace

void half_to_float_portable(const uint16_t* source, float* destination, size_t count) {
  for (size_t i = 0; i < count; ++i) destination[i] = to_float(source[i]);
}

void float_to_half_portable(const float* source, uint16_t* destination, size_t count) {
  for (size_t i = 0; i < count; ++i) destination[i] = to_half(source[i]);
}

void half_to_float(const uint16_t* source, float* destination, size_t count) {
#if defined(__x86_64__)
  if (has_f16c()) return half_to_float_f16c(source, destination, count);
  half_to_float_portable(source, destination, count);
#elif defined(__aarch64__)
  // Copied, not cast: an uint16_t must not be read as another type.
  for (size_t i = 0; i < count; ++i) {
    __fp16 half;
    std::memcpy(&half, source + i, sizeof(half));
    destination[i] = half;
  }
#else
  half_to_float_portable(source, destination, count);
#endif
}

void float_to_half(const float* source, uint16_t* destination, size_t count) {
#if defined(__x86_64__)
  if (has_f16c()) return float_to_half_f16c(source, destination, count);
  float_to_half_portable(source, destination, count);
#elif defined(__aarch64__)
  for (size_t i = 0; i < count; ++i) {
    const __fp16 half = static_cast<__fp16>(source[i]);
    std::memcpy(destination + i, &half, sizeof(half));
  }
#else
  float_to_half_portable(source, destination, count);
#endif
}

float round_to_odd(double value) {
  float nearest = static_cast<float>(value);
  if (std::isnan(value) || static_cast<double>(nearest) == value) return nearest;
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  // One step towards zero where rounding went away from it, then the last bit says that something
  // was cut off.
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) --bits;
  return std::bit_cast<float>(bits | 1u);
}

}  // namespace coreml_delegate
