#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_REDUCE_FLOATS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_REDUCE_FLOATS_H_

// Sums, means and extrema of floats along any axes of a tensor: added up in double, as exact as one
// rounding to float however many they are; a NaN among the elements is the result.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace coreml_delegate::engine::portable {

enum class FloatReduction { kSum, kMean, kMaximum, kMinimum };

// Writes one float for each element of the axes of `x` that are not reduced, in their order. Of no
// elements the sum is 0, the mean NaN, the maximum minus infinity. Runs on the threads of the
// calling arena.
void reduce_floats(FloatReduction kind, const float* x, const std::vector<size_t>& shape,
                   const std::vector<bool>& is_reduced, float* result);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_REDUCE_FLOATS_H_
