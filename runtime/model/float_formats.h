#ifndef COREML_DELEGATE_RUNTIME_MODEL_FLOAT_FORMATS_H_
#define COREML_DELEGATE_RUNTIME_MODEL_FLOAT_FORMATS_H_

// The narrow floating-point formats of MIL but for half (base/half.h), one value at a time.
// Widening is exact.
//
// Thread rule: pure functions.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace coreml_delegate::model {

// Sign, `exponent_bits`, `mantissa_bits` with IEEE meaning of the extreme exponents.
inline float widen_ieee(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const uint32_t exponent = (bits >> mantissa_bits) & ((1u << exponent_bits) - 1);
  const bool negative = ((bits >> (exponent_bits + mantissa_bits)) & 1) != 0;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  float magnitude;
  if (exponent == (1u << exponent_bits) - 1) {
    magnitude = mantissa == 0 ? std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa | (1u << mantissa_bits)),
                           static_cast<int>(exponent) - bias - mantissa_bits);
  }
  return negative ? -magnitude : magnitude;
}

inline float float8_e5m2_to_float(uint8_t bits) { return widen_ieee(bits, 5, 2); }
inline float bfloat16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
// No infinities; the all-ones pattern is NaN.
inline float float8_e4m3fn_to_float(uint8_t bits) {
  if ((bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const int exponent = (bits >> 3) & 0xf;
  const int mantissa = bits & 7;
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(mantissa | 8), exponent - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_FLOAT_FORMATS_H_
