#ifndef COREML_DELEGATE_RUNTIME_RUNNER_ELEMENTS_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_ELEMENTS_H_

// Values of a method as plain arrays. Thread rule: pure functions over values.

#include <executorch/runtime/core/evalue.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/tensor_type.h"

namespace coreml_delegate::runner {

// A value of a method, copied; of a number that is no tensor, without extents.
struct Elements {
  DataType dtype = DataType::kInvalid;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;  // Row by row.
};

// The elements of output `index`: bfloat16 as the float32 of the same value, a number as a tensor
// without extents. unsupported for what is neither.
Result<Elements> copy_elements(const executorch::runtime::EValue& value, size_t index);

// A number as a tensor without extents.
template <typename Number>
Elements number_elements(DataType dtype, Number number) {
  Elements elements{.dtype = dtype, .shape = {}, .bytes = {}};
  elements.bytes.resize(sizeof(number));
  std::memcpy(elements.bytes.data(), &number, sizeof(number));
  return elements;
}

// Element `index` of a tensor, whatever its dtype.
double element_as_double(DataType dtype, const std::byte* elements, size_t index);

// "float32[2, 3]".
std::string type_text(const Elements& elements);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_ELEMENTS_H_
