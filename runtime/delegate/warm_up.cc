#include "runtime/delegate/warm_up.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/strides.h"

namespace coreml_delegate {
namespace {

// Of all tensors together. More is what a description promises rather than what a model gives.
constexpr uint64_t kMaxBytes = uint64_t{1} << 30;

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  std::vector<std::byte> data;
};

Result<Tensor> make_tensor(const TensorSpec& spec, bool largest, uint64_t* bytes_left) {
  Tensor tensor;
  for (const Dimension& dimension : spec.shape) {
    if (largest && dimension.max == Dimension::kUnbounded) {
      return unsupported("the output's shape has no upper bound", spec.name);
    }
    tensor.shape.push_back(largest ? dimension.max : dimension.min);
  }
  if (!largest && !spec.enumerated_shapes.empty()) tensor.shape = spec.enumerated_shapes.front();
  uint64_t bytes = data_type_size(spec.dtype);
  for (const int64_t signed_extent : tensor.shape) {
    const auto extent = static_cast<uint64_t>(signed_extent);
    if (extent != 0 && bytes > *bytes_left / extent) {
      return resource_exhausted("the tensor is too large for a warm-up", spec.name);
    }
    bytes *= extent;
  }
  if (bytes > *bytes_left) {
    return resource_exhausted("the tensors are too large for a warm-up", spec.name);
  }
  *bytes_left -= bytes;
  tensor.strides = contiguous_strides(tensor.shape);
  tensor.data.resize(bytes);
  return tensor;
}

}  // namespace

Status warm_up(engine::Model& model, std::span<const engine::InitialStateValue> initial) {
  const engine::FunctionDescription& description = model.description();
  std::unique_ptr<engine::State> state;
  if (!description.states.empty()) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(state, model.make_state(initial));
  }
  uint64_t bytes_left = kMaxBytes;
  std::vector<Tensor> tensors;
  for (const TensorSpec& spec : description.inputs) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(Tensor tensor,
                                     make_tensor(spec, /*largest=*/false, &bytes_left));
    tensors.push_back(std::move(tensor));
  }
  for (const TensorSpec& spec : description.outputs) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(Tensor tensor,
                                     make_tensor(spec, /*largest=*/true, &bytes_left));
    tensors.push_back(std::move(tensor));
  }
  std::vector<engine::ConstTensorView> inputs;
  std::vector<engine::TensorView> outputs;
  for (size_t i = 0; i < tensors.size(); ++i) {
    Tensor& tensor = tensors[i];
    if (i < description.inputs.size()) {
      inputs.push_back({.dtype = description.inputs[i].dtype,
                        .shape = tensor.shape,
                        .strides = tensor.strides,
                        .data = tensor.data.data()});
    } else {
      outputs.push_back({.dtype = description.outputs[i - description.inputs.size()].dtype,
                         .shape = tensor.shape,
                         .strides = {},
                         .data = tensor.data.data(),
                         .capacity = tensor.data.size()});
    }
  }
  return model.execute(inputs, outputs, {.state = state.get(), .events = nullptr});
}

}  // namespace coreml_delegate
