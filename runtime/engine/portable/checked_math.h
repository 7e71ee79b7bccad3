#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECKED_MATH_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECKED_MATH_H_

// Arithmetic with numbers that a program chooses. Constants are up to 64 bits wide, extents up to
// 60: what does not fit ends the translation of the operation.
//
// Thread rule: pure functions.

#include <cmath>
#include <cstdint>
#include <string>

#include "runtime/engine/portable/op_error.h"

namespace coreml_delegate::engine::portable {

[[noreturn]] inline void fail_range(const std::string& what) {
  throw OpError(corrupt_data("the arguments are out of range: " + what + " exceeds 64 bits"));
}

inline int64_t checked_sum(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_add_overflow(a, b, &result))
    fail_range(std::to_string(a) + " + " + std::to_string(b));
  return result;
}

inline int64_t checked_difference(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_sub_overflow(a, b, &result))
    fail_range(std::to_string(a) + " - " + std::to_string(b));
  return result;
}

inline int64_t checked_product(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_mul_overflow(a, b, &result))
    fail_range(std::to_string(a) + " * " + std::to_string(b));
  return result;
}

// The whole part of `value`; NaN fails.
inline int64_t checked_int64(double value) {
  if (!(value >= -0x1p63 && value < 0x1p63)) fail_range(std::to_string(value));
  return static_cast<int64_t>(value);
}

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECKED_MATH_H_
