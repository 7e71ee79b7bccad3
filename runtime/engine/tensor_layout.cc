#include "runtime/engine/tensor_layout.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/strides.h"

namespace coreml_delegate::engine {

bool is_disjoint(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  if (strides.empty()) return true;
  if (shape.size() != strides.size()) return false;
  std::vector<size_t> order;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0 || strides[i] < 0) return false;
    if (shape[i] > 1) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return strides[a] < strides[b]; });
  // Each dimension steps over all that the faster ones reach.
  int64_t reach = 1;
  for (const size_t i : order) {
    if (strides[i] < reach) return false;
    int64_t extent;
    if (__builtin_mul_overflow(strides[i], shape[i] - 1, &extent) ||
        __builtin_add_overflow(reach, extent, &reach)) {
      return false;
    }
  }
  return true;
}

int64_t element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) {
    if (extent < 0) return -1;
    if (extent == 0) return 0;
    if (__builtin_mul_overflow(count, extent, &count)) return -1;
  }
  return count;
}

int64_t element_span(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  int64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    last += (shape[i] - 1) * strides[i];
  }
  return last + 1;
}

void copy_strided(std::span<const int64_t> shape, size_t element_size, const void* source,
                  std::span<const int64_t> source_strides, void* destination,
                  std::span<const int64_t> destination_strides) {
  const int64_t count = element_count(shape);
  if (count <= 0) return;
  const auto* const from = static_cast<const std::byte*>(source);
  auto* const to = static_cast<std::byte*>(destination);
  const std::vector<int64_t> contiguous = contiguous_strides(shape);
  if (source_strides.empty()) source_strides = contiguous;
  if (destination_strides.empty()) destination_strides = contiguous;
  if (is_contiguous(shape, source_strides) && is_contiguous(shape, destination_strides)) {
    std::memcpy(to, from, static_cast<size_t>(count) * element_size);
    return;
  }
  // The last dimension in the inner loop; as one block where both sides have it so.
  const size_t outer = shape.size() - 1;
  const int64_t inner = shape[outer];
  const int64_t from_step = source_strides[outer];
  const int64_t to_step = destination_strides[outer];
  const bool as_block = inner == 1 || (from_step == 1 && to_step == 1);
  std::vector<int64_t> index(outer, 0);
  const int64_t rows = count / inner;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t from_row =
        std::inner_product(index.begin(), index.end(), source_strides.begin(), int64_t{0});
    const int64_t to_row =
        std::inner_product(index.begin(), index.end(), destination_strides.begin(), int64_t{0});
    const size_t size = element_size;
    if (as_block) {
      std::memcpy(to + static_cast<size_t>(to_row) * size,
                  from + static_cast<size_t>(from_row) * size, static_cast<size_t>(inner) * size);
    } else {
      for (int64_t i = 0; i < inner; ++i) {
        std::memcpy(to + static_cast<size_t>(to_row + i * to_step) * size,
                    from + static_cast<size_t>(from_row + i * from_step) * size, size);
      }
    }
    for (size_t i = outer; i-- > 0;) {
      if (++index[i] < shape[i]) break;
      index[i] = 0;
    }
  }
}

}  // namespace coreml_delegate::engine
