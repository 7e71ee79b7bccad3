#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_KERNEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_KERNEL_H_

// y = x W^T with W read in the form in which a program stores it: rows of float16, or of integers of
// 8 or 4 bits with scales. Nothing is packed beforehand, so that what a weight takes in memory is
// the file it is mapped from.
//
// Each result is a sum of products in float32, one part of it in each lane of a vector: more
// accurate than a sum from left to right. Weights are widened exactly; one of integers is
// scale * (integer - offset), rounded to float32, or, where one row of x is multiplied, the scale is
// applied to the sum of a block's products.
//
// Thread rule: functions without state.

#include <cstddef>
#include <cstdint>

namespace coreml_delegate::engine::portable {

// Columns of W come in multiples of this; so do columns that share a scale.
inline constexpr int64_t kStoredLinearColumns = 32;

enum class StoredElement : uint8_t { kHalf, kInt8, kUInt8, kInt4, kUInt4 };

// Bytes of a row of `columns` elements.
inline int64_t stored_row_bytes(StoredElement element, int64_t columns) {
  switch (element) {
    case StoredElement::kHalf:
      return 2 * columns;
    case StoredElement::kInt8:
    case StoredElement::kUInt8:
      return columns;
    case StoredElement::kInt4:
    case StoredElement::kUInt4:
      return columns / 2;
  }
  return 0;
}

// W, [rows, columns], row by row without gaps, 4 bits from the lower half of a byte. Nothing needs
// an alignment.
struct StoredMatrix {
  StoredElement element = StoredElement::kHalf;
  int64_t rows = 0;
  int64_t columns = 0;  // A multiple of kStoredLinearColumns.
  const std::byte* data = nullptr;
  // Of integers: [scale_rows, blocks], one for each row or for all, and for each block of columns.
  int64_t scale_rows = 0;
  int64_t blocks = 0;                // columns / blocks is a multiple of kStoredLinearColumns.
  const std::byte* scale = nullptr;  // float16 or float32.
  bool scale_is_half = false;
  const std::byte* offset = nullptr;  // As the integers; null for zero.
};

struct StoredLinearKernel {
  // Floats of `scratch`.
  size_t (*scratch_size)(const StoredMatrix& weight);
  // Columns [row_begin, row_end) of y: the products of the `count` rows of x, [count, columns], and
  // these rows of W. y is [count, rows]. `scratch` is aligned to 64 bytes and the calling thread's.
  void (*run)(const StoredMatrix& weight, int64_t row_begin, int64_t row_end, const float* x,
              int64_t count, float* y, float* scratch);
};

#if defined(__x86_64__)
const StoredLinearKernel& stored_linear_kernel_avx2();  // And FMA and F16C.
const StoredLinearKernel& stored_linear_kernel_avx512();
#endif
// The fastest one that this processor executes; null where there is none.
const StoredLinearKernel* stored_linear_kernel();

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_KERNEL_H_
