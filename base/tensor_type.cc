#include "base/tensor_type.h"

#include <algorithm>

namespace coreml_delegate {

size_t data_type_size(DataType dtype) {
  switch (dtype) {
    case DataType::kInvalid:
      return 0;
    case DataType::kBool:
    case DataType::kInt8:
    case DataType::kUInt8:
      return 1;
    case DataType::kInt16:
    case DataType::kUInt16:
    case DataType::kFloat16:
      return 2;
    case DataType::kInt32:
    case DataType::kFloat32:
      return 4;
    case DataType::kInt64:
    case DataType::kFloat64:
      return 8;
  }
  return 0;
}

std::string_view data_type_name(DataType dtype) {
  switch (dtype) {
    case DataType::kInvalid:
      return "invalid";
    case DataType::kBool:
      return "bool";
    case DataType::kInt8:
      return "int8";
    case DataType::kUInt8:
      return "uint8";
    case DataType::kInt16:
      return "int16";
    case DataType::kUInt16:
      return "uint16";
    case DataType::kInt32:
      return "int32";
    case DataType::kInt64:
      return "int64";
    case DataType::kFloat16:
      return "float16";
    case DataType::kFloat32:
      return "float32";
    case DataType::kFloat64:
      return "float64";
  }
  return "invalid";
}

bool TensorSpec::is_static() const {
  return std::all_of(shape.begin(), shape.end(),
                     [](const Dimension& dimension) { return dimension.is_fixed(); });
}

bool TensorSpec::accepts(const int64_t* extents, size_t rank) const {
  if (rank != shape.size()) return false;
  for (size_t i = 0; i < rank; ++i) {
    if (!shape[i].contains(extents[i])) return false;
  }
  if (enumerated_shapes.empty()) return true;
  return std::any_of(enumerated_shapes.begin(), enumerated_shapes.end(),
                     [&](const std::vector<int64_t>& allowed) {
                       return std::equal(allowed.begin(), allowed.end(), extents, extents + rank);
                     });
}

std::string TensorSpec::to_string() const {
  std::string text = name;
  text += ": ";
  text += data_type_name(dtype);
  if (!enumerated_shapes.empty()) {
    text += '{';
    for (size_t i = 0; i < enumerated_shapes.size(); ++i) {
      if (i > 0) text += ", ";
      text += shape_to_string(enumerated_shapes[i].data(), enumerated_shapes[i].size());
    }
    return text + '}';
  }
  text += '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i].min);
    if (shape[i].is_fixed()) continue;
    text += "..";
    if (shape[i].max != Dimension::kUnbounded) text += std::to_string(shape[i].max);
  }
  return text + ']';
}

std::string shape_to_string(const int64_t* extents, size_t rank) {
  std::string text = "[";
  for (size_t i = 0; i < rank; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(extents[i]);
  }
  return text + ']';
}

}  // namespace coreml_delegate
