#include "runtime/runner/tracer.h"

#include <executorch/extension/tensor/tensor.h>

#include <array>
#include <vector>

#include "base/half.h"

namespace coreml_delegate::runner {

using executorch::aten::ScalarType;
using executorch::runtime::EValue;
using executorch::runtime::Result;

Result<size_t> ValueFile::write(const void* data, size_t size) {
  // As BufferDataSink places values.
  constexpr size_t kAlignment = 64;
  static constexpr std::array<std::byte, kAlignment> kZeros{};
  if (size == 0) return used_;
  const size_t padding = (kAlignment - used_ % kAlignment) % kAlignment;
  const size_t offset = used_ + padding;
  if (status_.ok()) status_ = file_->append(std::span(kZeros).first(padding));
  if (status_.ok()) status_ = file_->append({static_cast<const std::byte*>(data), size});
  used_ = offset + size;
  return offset;
}

Status ValueFile::finish() {
  COREML_DELEGATE_RETURN_IF_ERROR(status_);
  return file_->finish();
}

Result<bool> Tracer::log_evalue(const EValue& value, executorch::runtime::LoggedEValueType type) {
  const auto is_half = [](const executorch::aten::Tensor& tensor) {
    return tensor.scalar_type() == ScalarType::Half;
  };
  if (value.isTensor() && is_half(value.toTensor())) {
    const executorch::aten::Tensor& tensor = value.toTensor();
    std::vector<float> elements(static_cast<size_t>(tensor.numel()));
    half_to_float(static_cast<const uint16_t*>(tensor.const_data_ptr()), elements.data(),
                  elements.size());
    const auto copy = executorch::extension::make_tensor_ptr(
        std::vector<executorch::aten::SizesType>(tensor.sizes().begin(), tensor.sizes().end()),
        elements.data());
    return ETDumpGen::log_evalue(EValue(*copy), type);
  }
  if (value.isTensorList()) {
    for (const executorch::aten::Tensor& tensor : value.toTensorList()) {
      // There is no list to put converted tensors in.
      if (is_half(tensor)) return false;
    }
  }
  return ETDumpGen::log_evalue(value, type);
}

}  // namespace coreml_delegate::runner
