#ifndef COREML_DELEGATE_RUNTIME_ENGINE_TENSOR_LAYOUT_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_TENSOR_LAYOUT_H_

// Layouts of tensors, in elements, as engine.h and Core ML's MLMultiArray have them: an element lies
// at the sum of index times stride. Without strides, elements lie one after the other.
//
// Thread rule: pure functions.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace coreml_delegate::engine {

// Whether no two elements share memory and none lies before the first: what may be written in
// place.
bool is_disjoint(std::span<const int64_t> shape, std::span<const int64_t> strides);

// The product of the extents; -1 when one is negative or the product does not fit.
int64_t element_count(std::span<const int64_t> shape);

// Elements from the first to the last one, both included; 0 for a tensor without elements.
// Precondition: is_disjoint().
int64_t element_span(std::span<const int64_t> shape, std::span<const int64_t> strides);

// Copies a tensor of `element_size`-byte elements from one layout to another. The memory must not
// overlap.
void copy_strided(std::span<const int64_t> shape, size_t element_size, const void* source,
                  std::span<const int64_t> source_strides, void* destination,
                  std::span<const int64_t> destination_strides);

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_TENSOR_LAYOUT_H_
