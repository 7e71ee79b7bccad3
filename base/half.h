#ifndef COREML_DELEGATE_BASE_HALF_H_
#define COREML_DELEGATE_BASE_HALF_H_

// Between IEEE half (as its 16 bits) and float: one value, or many with the processor's
// instructions where it has them. Widening is exact. Narrowing rounds to nearest, ties to even, and
// gives infinity for what is 65520 or more in magnitude. NaN stays NaN, with the upper bits of its
// payload.
//
// Thread rule: pure functions.

#include <bit>
#include <cstddef>
#include <cstdint>

namespace coreml_delegate {

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  // Zero and subnormals: mantissa * 2^-24, exact in float.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

inline uint16_t float_to_half(float value) {
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

// `source` and `destination` do not overlap.
void half_to_float(const uint16_t* source, float* destination, size_t count);
void float_to_half(const float* source, uint16_t* destination, size_t count);

// The same without the instructions, for processors that lack them and for comparison in tests.
void half_to_float_portable(const uint16_t* source, float* destination, size_t count);
void float_to_half_portable(const float* source, uint16_t* destination, size_t count);

// Each value as the half nearest to it would widen. In place is allowed.
void round_to_half(const float* source, float* destination, size_t count);

// The float nearest to `value` from which float_to_half() gives the half nearest to `value`:
// rounding twice to nearest would not.
float round_to_odd(double value);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_HALF_H_
