#include "base/half.h"

#include <bit>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>

#include "base/cpu_features.h"
#endif

namespace coreml_delegate {
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

__attribute__((target("avx,f16c"))) void round_to_half_f16c(const float* source, float* destination,
                                                            size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i half =
        _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_ps(destination + i, _mm256_cvtph_ps(half));
  }
  for (; i < count; ++i) destination[i] = round_one(source[i]);
}

bool has_f16c() {
  static const bool has = cpu_features().has({CpuFeature::kAvx, CpuFeature::kF16c});
  return has;
}

#endif

}  // namespace

void half_to_float_portable(const uint16_t* source, float* destination, size_t count) {
  for (size_t i = 0; i < count; ++i) destination[i] = half_to_float(source[i]);
}

void float_to_half_portable(const float* source, uint16_t* destination, size_t count) {
  for (size_t i = 0; i < count; ++i) destination[i] = float_to_half(source[i]);
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

void round_to_half(const float* source, float* destination, size_t count) {
#if defined(__x86_64__)
  if (has_f16c()) return round_to_half_f16c(source, destination, count);
#endif
  for (size_t i = 0; i < count; ++i) destination[i] = round_one(source[i]);
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
