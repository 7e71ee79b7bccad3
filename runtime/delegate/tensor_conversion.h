#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_TENSOR_CONVERSION_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_TENSOR_CONVERSION_H_

// Copies a tensor into another dtype and layout. Rows are converted by loops the compiler
// vectorises; nothing is called per element.
//
// What a value becomes:
//   - to bool: false for zero, true for everything else (NaN included); from bool: 0 or 1.
//   - integer to integer: the same number; one that the target cannot hold is an error.
//   - floating point to integer: towards zero; NaN, infinities and what the target cannot hold are
//     errors.
//   - integer or wider floating point to floating point: rounded to nearest, ties to even; a finite
//     value that would become infinite is an error, but for a float32 beyond float16 where the
//     caller wants infinity. Infinities and NaN stay what they are.
//
// Thread rule: functions without state.

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "base/tensor_type.h"

namespace coreml_delegate {

// A tensor's elements: at `data + sum(index[i] * strides[i])`, in elements. `data` is aligned for
// its dtype.
struct ConversionSource {
  DataType dtype = DataType::kInvalid;
  const void* data = nullptr;
  std::span<const int64_t> strides;
};
struct ConversionTarget {
  DataType dtype = DataType::kInvalid;
  void* data = nullptr;
  std::span<const int64_t> strides;
};

inline constexpr size_t kMaxConversionRank = 16;

// What becomes of a finite float32 beyond the range of float16. It is refused where a caller hands
// it over, who may not know that the model takes float16; a result of float16 is infinite there, as
// IEEE 754 and torch have it.
enum class Overflow { kRefused, kInfinite };

// Copies every element of `shape` (extents at least 0, rank at most kMaxConversionRank, one stride
// per extent). The two do not overlap. invalid_argument names `what` ("input x"), the index and the
// value that does not fit; elements before it may have been written.
Status convert_tensor(std::span<const int64_t> shape, const ConversionSource& source,
                      const ConversionTarget& target, const std::string& what,
                      Overflow overflow = Overflow::kRefused);

// Whether some value of `from` has no place in `to`.
bool conversion_can_fail(DataType from, DataType to, Overflow overflow = Overflow::kRefused);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_TENSOR_CONVERSION_H_
