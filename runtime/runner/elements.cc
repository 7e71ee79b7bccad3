#include "runtime/runner/elements.h"

#include "base/half.h"
#include "runtime/delegate/tensor_types.h"

namespace coreml_delegate::runner {
namespace {

using executorch::runtime::EValue;

template <typename T>
double element(const std::byte* elements, size_t index) {
  T value;
  std::memcpy(&value, elements + index * sizeof(T), sizeof(T));
  return static_cast<double>(value);
}

}  // namespace

double element_as_double(DataType dtype, const std::byte* elements, size_t index) {
  switch (dtype) {
    case DataType::kBool:
    case DataType::kUInt8:
      return element<uint8_t>(elements, index);
    case DataType::kInt8:
      return element<int8_t>(elements, index);
    case DataType::kInt16:
      return element<int16_t>(elements, index);
    case DataType::kUInt16:
      return element<uint16_t>(elements, index);
    case DataType::kInt32:
      return element<int32_t>(elements, index);
    case DataType::kInt64:
      return element<int64_t>(elements, index);
    case DataType::kFloat16: {
      uint16_t half;
      std::memcpy(&half, elements + index * 2, 2);
      float value;
      value = half_to_float(half);
      return value;
    }
    case DataType::kFloat32:
      return element<float>(elements, index);
    case DataType::kFloat64:
      return element<double>(elements, index);
    case DataType::kInvalid:
      break;
  }
  return 0;
}

std::string type_text(const Elements& elements) {
  return std::string(data_type_name(elements.dtype)) +
         shape_to_string(elements.shape.data(), elements.shape.size());
}

Result<Elements> copy_elements(const EValue& value, size_t index) {
  if (value.isInt()) return number_elements(DataType::kInt64, value.toInt());
  if (value.isDouble()) return number_elements(DataType::kFloat64, value.toDouble());
  if (value.isBool()) return number_elements(DataType::kBool, value.toBool());
  const std::string what = "output " + std::to_string(index);
  if (!value.isTensor()) return unsupported("the value is neither a tensor nor a number", what);
  const executorch::aten::Tensor& tensor = value.toTensor();
  const auto* const data = static_cast<const std::byte*>(tensor.const_data_ptr());
  Elements elements;
  elements.shape.assign(tensor.sizes().begin(), tensor.sizes().end());
  if (tensor.scalar_type() == executorch::aten::ScalarType::BFloat16) {
    // The upper half of a float32.
    elements.dtype = DataType::kFloat32;
    elements.bytes.resize(tensor.nbytes() * 2);
    for (size_t i = 0; i < static_cast<size_t>(tensor.numel()); ++i) {
      std::memcpy(elements.bytes.data() + 4 * i + 2, data + 2 * i, 2);
    }
    return elements;
  }
  elements.dtype = to_data_type(tensor.scalar_type());
  if (elements.dtype == DataType::kInvalid) {
    return unsupported(
        "the elements of the tensor have the type " + scalar_type_text(tensor.scalar_type()), what);
  }
  elements.bytes.assign(data, data + tensor.nbytes());
  return elements;
}

}  // namespace coreml_delegate::runner
