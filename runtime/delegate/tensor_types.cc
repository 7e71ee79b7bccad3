#include "runtime/delegate/tensor_types.h"

namespace coreml_delegate {

using executorch::aten::ScalarType;

DataType to_data_type(ScalarType type) {
  switch (type) {
    case ScalarType::Bool:
      return DataType::kBool;
    case ScalarType::Char:
      return DataType::kInt8;
    case ScalarType::Byte:
      return DataType::kUInt8;
    case ScalarType::Short:
      return DataType::kInt16;
    case ScalarType::UInt16:
      return DataType::kUInt16;
    case ScalarType::Int:
      return DataType::kInt32;
    case ScalarType::Long:
      return DataType::kInt64;
    case ScalarType::Half:
      return DataType::kFloat16;
    case ScalarType::Float:
      return DataType::kFloat32;
    case ScalarType::Double:
      return DataType::kFloat64;
    default:
      return DataType::kInvalid;
  }
}

std::optional<ScalarType> to_scalar_type(DataType dtype) {
  switch (dtype) {
    case DataType::kBool:
      return ScalarType::Bool;
    case DataType::kInt8:
      return ScalarType::Char;
    case DataType::kUInt8:
      return ScalarType::Byte;
    case DataType::kInt16:
      return ScalarType::Short;
    case DataType::kUInt16:
      return ScalarType::UInt16;
    case DataType::kInt32:
      return ScalarType::Int;
    case DataType::kInt64:
      return ScalarType::Long;
    case DataType::kFloat16:
      return ScalarType::Half;
    case DataType::kFloat32:
      return ScalarType::Float;
    case DataType::kFloat64:
      return ScalarType::Double;
    case DataType::kInvalid:
      break;
  }
  return std::nullopt;
}

std::string scalar_type_text(ScalarType type) {
  const DataType dtype = to_data_type(type);
  if (dtype != DataType::kInvalid) return std::string(data_type_name(dtype));
  return "ExecuTorch's scalar type " + std::to_string(static_cast<int>(type));
}

}  // namespace coreml_delegate
