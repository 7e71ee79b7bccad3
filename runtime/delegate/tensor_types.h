#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_TENSOR_TYPES_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_TENSOR_TYPES_H_

#include <executorch/runtime/core/exec_aten/exec_aten.h>

#include <optional>
#include <string>

#include "base/tensor_type.h"

namespace coreml_delegate {

// kInvalid for what no Core ML model takes (bfloat16, complex, quantised ...).
DataType to_data_type(executorch::aten::ScalarType type);

std::optional<executorch::aten::ScalarType> to_scalar_type(DataType dtype);

// "int64"; "ExecuTorch's scalar type 15" for one that has no DataType.
std::string scalar_type_text(executorch::aten::ScalarType type);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_TENSOR_TYPES_H_
