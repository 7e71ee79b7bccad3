#ifndef COREML_DELEGATE_BASE_STRIDES_H_
#define COREML_DELEGATE_BASE_STRIDES_H_

// Strides in elements of row-major tensors. Thread rule: pure functions.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace coreml_delegate {

// Of elements that lie one after the other; an extent of 0 counts as 1. `strides` has one place for
// each extent.
inline void contiguous_strides(std::span<const int64_t> shape, std::span<int64_t> strides) {
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
}

inline std::vector<int64_t> contiguous_strides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  contiguous_strides(shape, strides);
  return strides;
}

// Of a tensor that is read as one of shape `target`, as broadcasting does it: 0 along the axes that
// it lacks, and along those that have one element. One stride for each extent of `target`.
// Precondition: `shape` has at most as many extents as `target`, and they are the last ones of
// `target` or 1.
template <typename Shape>
std::vector<size_t> broadcast_strides(const Shape& shape, const Shape& target) {
  std::vector<size_t> strides(target.size(), 0);
  const size_t lead = target.size() - shape.size();
  size_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    const auto extent = static_cast<size_t>(shape[i]);
    if (extent != 1) strides[lead + i] = stride;
    stride *= extent;
  }
  return strides;
}

// Whether elements of these strides lie one after the other. The stride of an extent of 1 means
// nothing, and none does where there are no elements. False for another number of strides than
// extents.
inline bool is_contiguous(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  if (shape.size() != strides.size()) return false;
  int64_t expected = 1;
  bool contiguous = true;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] == 1) continue;
    if (strides[i] != expected) contiguous = false;
    expected *= shape[i];
  }
  return contiguous;
}

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_STRIDES_H_
