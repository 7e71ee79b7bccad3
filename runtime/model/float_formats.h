#ifndef COREML_DELEGATE_RUNTIME_MODEL_FLOAT_FORMATS_H_
#define COREML_DELEGATE_RUNTIME_MODEL_FLOAT_FORMATS_H_

// The narrow floating-point formats of MIL, one value at a time. Widening is exact; narrowing
// rounds to nearest, ties to even, and overflows to infinity.
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

// As widen_ieee(bits, 5, 10), without branches on the exponent: the multiplication moves the bias
// and normalises subnormals.
inline float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t shifted = static_cast<uint32_t>(bits & 0x7fff) << 13;
  uint32_t magnitude = std::bit_cast<uint32_t>(std::bit_cast<float>(shifted) * 0x1p112f);
  if ((bits & 0x7c00) == 0x7c00) magnitude = shifted | 0x7f800000;
  return std::bit_cast<float>(magnitude | sign);
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

inline uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;   // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds to 65520 or more
  if (magnitude < 0x38800000) {                       // subnormal or zero
    // Adding 0.5 puts the half's lowest subnormal bit at the lowest mantissa bit; the FPU rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000);
  }
  magnitude += 0xc8000fff + ((magnitude >> 13) & 1);  // rebias by 127 - 15, round to even
  return sign | static_cast<uint16_t>(magnitude >> 13);
}

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_FLOAT_FORMATS_H_
