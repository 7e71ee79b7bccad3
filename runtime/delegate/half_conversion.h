#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_HALF_CONVERSION_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_HALF_CONVERSION_H_

// Between IEEE half (as its 16 bits) and float, many at a time; with the processor's instructions
// where it has them.

#include <cstddef>
#include <cstdint>

namespace coreml_delegate {

// Exact. `source` and `destination` do not overlap.
void half_to_float(const uint16_t* source, float* destination, size_t count);

// To nearest, ties to even; infinity for what is 65520 or more in magnitude; NaN stays NaN.
void float_to_half(const float* source, uint16_t* destination, size_t count);

// The same without the instructions, for processors that lack them and for comparison in tests.
void half_to_float_portable(const uint16_t* source, float* destination, size_t count);
void float_to_half_portable(const float* source, uint16_t* destination, size_t count);

// The float nearest to `value` from which float_to_half() gives the half nearest to `value`:
// rounding twice to nearest would not.
float round_to_odd(double value);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_HALF_CONVERSION_H_
