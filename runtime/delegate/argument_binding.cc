#include "runtime/delegate/argument_binding.h"

#include <executorch/runtime/core/exec_aten/util/tensor_util.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/strides.h"
#include "runtime/delegate/tensor_types.h"

namespace coreml_delegate {

using executorch::aten::SizesType;
using executorch::aten::TensorImpl;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::TensorShapeDynamism;

namespace {

std::string sizes_text(const TensorImpl& tensor) {
  std::array<int64_t, kMaxConversionRank> extents{};
  const size_t rank = std::min(tensor.sizes().size(), extents.size());
  for (size_t i = 0; i < rank; ++i) extents[i] = tensor.sizes()[i];
  return shape_to_string(extents.data(), rank);
}

bool resize(TensorImpl* tensor, const std::vector<SizesType>& sizes) {
  return executorch::runtime::resize_tensor(executorch::aten::Tensor(tensor),
                                            {sizes.data(), sizes.size()}) == Error::Ok;
}

}  // namespace

ArgumentBinding::ArgumentBinding(BindingPlan plan, const engine::Model& model)
    : plan_(std::move(plan)),
      model_(model),
      inputs_(plan_.inputs.size()),
      outputs_(plan_.outputs.size()),
      input_views_(plan_.inputs.size()),
      output_views_(plan_.outputs.size()) {}

Status ArgumentBinding::bind(executorch::runtime::Span<EValue*> args) {
  const size_t expected = plan_.inputs.size() + plan_.outputs.size();
  if (args.size() != expected) {
    return invalid_argument("the call has " + std::to_string(args.size()) +
                            " arguments, but the model takes " +
                            std::to_string(plan_.inputs.size()) + " inputs and " +
                            std::to_string(plan_.outputs.size()) + " outputs");
  }
  finish_can_fail_ = converts_inputs_ = converts_outputs_ = false;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    COREML_DELEGATE_RETURN_IF_ERROR(check(plan_.inputs[i], args[i], inputs_[i]));
    COREML_DELEGATE_RETURN_IF_ERROR(check_shape(plan_.inputs[i], inputs_[i]));
  }
  COREML_DELEGATE_RETURN_IF_ERROR(check_combination());
  for (Argument& output : outputs_) output.was_resized = false;
  Status status;
  for (size_t i = 0; i < outputs_.size() && status.ok(); ++i) {
    status = check(plan_.outputs[i], args[inputs_.size() + i], outputs_[i]);
    if (status.ok()) status = prepare_output(plan_.outputs[i], outputs_[i]);
  }
  for (size_t i = 0; i < inputs_.size() && status.ok(); ++i) {
    status = prepare_input(plan_.inputs[i], inputs_[i]);
  }
  if (!status.ok()) abandon();
  return status;
}

Status ArgumentBinding::check(const ArgumentPlan& plan, EValue* value, Argument& argument) const {
  if (value == nullptr || !value->isTensor()) {
    return invalid_argument("the argument is not a tensor", plan.what);
  }
  TensorImpl* tensor = value->toTensor().unsafeGetTensorImpl();
  argument.tensor = tensor;
  argument.dtype = to_data_type(tensor->scalar_type());
  if (argument.dtype == DataType::kInvalid) {
    return invalid_argument("tensors of " + scalar_type_text(tensor->scalar_type()) +
                                " cannot be passed to a Core ML model",
                            plan.what);
  }
  if (plan.declared.dtype != DataType::kInvalid && plan.declared.dtype != argument.dtype) {
    return invalid_argument("the tensor is " + std::string(data_type_name(argument.dtype)) +
                                ", but the program was lowered for " +
                                std::string(data_type_name(plan.declared.dtype)),
                            plan.what);
  }
  const size_t rank = tensor->sizes().size();
  if (rank != plan.model.shape.size() && !is_scalar_for(rank, plan.model)) {
    return invalid_argument("the tensor's shape " + sizes_text(*tensor) + " has rank " +
                                std::to_string(rank) + ", but the model takes " +
                                plan.model.to_string(),
                            plan.what);
  }
  read_layout(plan, argument);
  if (tensor->numel() > 0) {
    if (tensor->data() == nullptr) return invalid_argument("the tensor has no memory", plan.what);
    if (reinterpret_cast<uintptr_t>(tensor->data()) % data_type_size(argument.dtype) != 0) {
      return invalid_argument(
          "the tensor's memory is not aligned for " + std::string(data_type_name(argument.dtype)),
          plan.what);
    }
  }
  return Status();
}

void ArgumentBinding::read_layout(const ArgumentPlan& plan, Argument& argument) const {
  const TensorImpl& tensor = *argument.tensor;
  const size_t rank = tensor.sizes().size();
  argument.rank = plan.model.shape.size();
  if (rank == 0 && argument.rank == 1) {
    argument.shape[0] = argument.strides[0] = argument.contiguous[0] = 1;
    return;
  }
  for (size_t i = 0; i < rank; ++i) argument.shape[i] = tensor.sizes()[i];
  contiguous_strides(std::span(argument.shape).first(rank), argument.contiguous);
  // A tensor that was made without strides lies row by row.
  const bool has_strides = tensor.strides().data() != nullptr;
  for (size_t i = 0; i < rank; ++i) {
    argument.strides[i] = has_strides ? tensor.strides()[i] : argument.contiguous[i];
  }
}

Status ArgumentBinding::check_shape(const ArgumentPlan& plan, const Argument& argument) const {
  const auto refuse = [&](const char* who, const TensorSpec& spec) {
    return invalid_argument("the tensor's shape " + sizes_text(*argument.tensor) +
                                " is not one of those that " + who + ": " + spec.to_string(),
                            plan.what);
  };
  const size_t tensor_rank = argument.tensor->sizes().size();
  if (plan.declared.dtype != DataType::kInvalid && tensor_rank == plan.declared.shape.size() &&
      !plan.declared.accepts(argument.shape.data(), tensor_rank)) {
    return refuse("the program was lowered for", plan.declared);
  }
  if (!plan.model.accepts(argument.shape.data(), argument.rank)) {
    return refuse("the model takes", plan.model);
  }
  return Status();
}

Status ArgumentBinding::check_combination() const {
  size_t enumerated = 0;
  size_t count = 0;
  for (const ArgumentPlan& plan : plan_.inputs) {
    if (plan.declared.enumerated_shapes.empty()) continue;
    ++enumerated;
    count = std::max(count, plan.declared.enumerated_shapes.size());
  }
  if (enumerated < 2) return Status();
  const auto fits = [&](size_t entry) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const auto& shapes = plan_.inputs[i].declared.enumerated_shapes;
      if (shapes.empty()) continue;
      const auto shape = std::span(inputs_[i].shape).first(inputs_[i].rank);
      if (entry >= shapes.size() || !std::ranges::equal(shape, shapes[entry])) return false;
    }
    return true;
  };
  for (size_t entry = 0; entry < count; ++entry) {
    if (fits(entry)) return Status();
  }
  std::string shapes;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (plan_.inputs[i].declared.enumerated_shapes.empty()) continue;
    shapes += (shapes.empty() ? "" : ", ") + plan_.inputs[i].declared.name + " " +
              sizes_text(*inputs_[i].tensor);
  }
  return invalid_argument("the shapes " + shapes +
                          " are each enumerated, but not together: all inputs must have the shapes "
                          "at the same position of their lists");
}

Status ArgumentBinding::prepare_input(const ArgumentPlan& plan, Argument& argument) {
  const auto shape = std::span(argument.shape).first(argument.rank);
  const auto strides = std::span(argument.strides).first(argument.rank);
  engine::ConstTensorView& view = input_views_[plan.model_index];
  view.dtype = plan.model.dtype;
  view.shape = shape;
  const bool fits_as_it_is =
      argument.dtype == plan.model.dtype &&
      (is_contiguous(shape, strides) || model_.accepts_strides(shape, strides));
  argument.is_converted = !fits_as_it_is;
  if (fits_as_it_is) {
    // Strides of extents of 1 may be anything; an engine that compares them gets the plain ones.
    view.strides = is_contiguous(shape, strides)
                       ? std::span<const int64_t>(argument.contiguous).first(argument.rank)
                       : strides;
    view.data = argument.tensor->data();
    return Status();
  }
  converts_inputs_ = true;
  const size_t size =
      static_cast<size_t>(argument.tensor->numel()) * data_type_size(plan.model.dtype);
  if (!argument.buffer.reserve(std::max<size_t>(size, 1))) {
    return resource_exhausted("there is not enough memory to convert the tensor", plan.what);
  }
  view.strides = std::span<const int64_t>(argument.contiguous).first(argument.rank);
  view.data = argument.buffer.data();
  return convert_tensor(shape, {argument.dtype, argument.tensor->data(), strides},
                        {plan.model.dtype, argument.buffer.data(), view.strides}, plan.what);
}

Status ArgumentBinding::open_output(const ArgumentPlan& plan, Argument& argument) {
  TensorImpl* tensor = argument.tensor;
  argument.previous_sizes.assign(tensor->sizes().begin(), tensor->sizes().end());
  if (tensor->shape_dynamism() == TensorShapeDynamism::STATIC || tensor->sizes().empty())
    return Status();
  std::vector<SizesType> wanted;
  if (!plan.is_dynamic) {
    for (const Dimension& dimension : plan.model.shape) {
      wanted.push_back(static_cast<SizesType>(dimension.min));
    }
    if (wanted == argument.previous_sizes) return Status();
    if (!resize(tensor, wanted)) {
      return invalid_argument("the tensor's memory is too small for " + plan.model.to_string(),
                              plan.what);
    }
  } else {
    // A program's tensors start as large as they can become, and shrink with each result;
    // ExecuTorch does not tell their capacity. So the largest size seen is remembered.
    const auto numel = [](const std::vector<SizesType>& sizes) {
      int64_t count = 1;
      for (const SizesType size : sizes) count *= size;
      return count;
    };
    if (argument.bound_of != tensor ||
        numel(argument.previous_sizes) > numel(argument.bound_sizes)) {
      argument.bound_of = tensor;
      argument.bound_sizes = argument.previous_sizes;
    }
    if (argument.bound_sizes == argument.previous_sizes) return Status();
    if (!resize(tensor, argument.bound_sizes)) {
      // Another tensor at the same address, with less memory.
      argument.bound_sizes = argument.previous_sizes;
      return Status();
    }
  }
  argument.was_resized = true;
  read_layout(plan, argument);
  return Status();
}

Status ArgumentBinding::prepare_output(const ArgumentPlan& plan, Argument& argument) {
  COREML_DELEGATE_RETURN_IF_ERROR(open_output(plan, argument));
  if (!plan.is_dynamic) COREML_DELEGATE_RETURN_IF_ERROR(check_shape(plan, argument));
  const auto shape = std::span(argument.shape).first(argument.rank);
  const auto strides = std::span(argument.strides).first(argument.rank);
  const bool contiguous = is_contiguous(shape, strides);
  engine::TensorView& view = output_views_[plan.model_index];
  view.dtype = plan.model.dtype;
  view.shape = shape;
  view.strides = {};
  const bool fits_as_it_is =
      argument.dtype == plan.model.dtype &&
      (contiguous || (!plan.is_dynamic && model_.accepts_strides(shape, strides)));
  argument.is_converted = !fits_as_it_is;
  const auto numel = static_cast<size_t>(argument.tensor->numel());
  if (fits_as_it_is) {
    if (!contiguous) view.strides = strides;
    view.data = argument.tensor->mutable_data();
    view.capacity = numel * data_type_size(plan.model.dtype);
  } else {
    converts_outputs_ = true;
    view.capacity = numel * data_type_size(plan.model.dtype);
    if (!argument.buffer.reserve(std::max<size_t>(view.capacity, 1))) {
      return resource_exhausted("there is not enough memory to convert the tensor", plan.what);
    }
    view.data = argument.buffer.data();
  }
  if (argument.is_converted &&
      conversion_can_fail(plan.model.dtype, argument.dtype, Overflow::kInfinite)) {
    finish_can_fail_ = true;
  }
  if (plan.is_dynamic && argument.tensor->shape_dynamism() == TensorShapeDynamism::STATIC) {
    finish_can_fail_ = true;
  }
  return Status();
}

Status ArgumentBinding::finish() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    COREML_DELEGATE_RETURN_IF_ERROR(finish_output(plan_.outputs[i], outputs_[i]));
  }
  return Status();
}

Status ArgumentBinding::finish_output(const ArgumentPlan& plan, Argument& argument) {
  const auto shape = std::span(argument.shape).first(argument.rank);  // As the engine left it.
  TensorImpl* tensor = argument.tensor;
  const bool is_scalar = tensor->sizes().empty() && argument.rank == 1;
  if (plan.is_dynamic) {
    if (is_scalar) {
      if (shape[0] != 1) {
        return invalid_argument("the result has shape " +
                                    shape_to_string(shape.data(), shape.size()) +
                                    ", but the tensor that the caller passed has rank 0",
                                plan.what);
      }
    } else if (!std::equal(shape.begin(), shape.end(), tensor->sizes().begin(),
                           tensor->sizes().end())) {
      std::vector<SizesType>& sizes = argument.previous_sizes;  // No longer needed: reused.
      sizes.assign(shape.begin(), shape.end());
      if (!resize(tensor, sizes)) {
        return invalid_argument("the result has shape " +
                                    shape_to_string(shape.data(), shape.size()) +
                                    ", but the tensor that the caller passed cannot be resized to "
                                    "it; it was made for " +
                                    sizes_text(*tensor),
                                plan.what);
      }
    }
  }
  if (!argument.is_converted) return Status();
  Extents target_strides{};
  contiguous_strides(shape, argument.contiguous);
  if (is_scalar) {
    target_strides[0] = 1;
  } else {
    const bool has_strides = tensor->strides().data() != nullptr;
    for (size_t i = 0; i < argument.rank; ++i) {
      target_strides[i] = has_strides ? tensor->strides()[i] : argument.contiguous[i];
    }
  }
  return convert_tensor(shape,
                        {plan.model.dtype, argument.buffer.data(),
                         std::span<const int64_t>(argument.contiguous).first(argument.rank)},
                        {argument.dtype, tensor->mutable_data(),
                         std::span<const int64_t>(target_strides).first(argument.rank)},
                        plan.what, Overflow::kInfinite);
}

void ArgumentBinding::abandon() {
  for (Argument& output : outputs_) {
    if (!output.was_resized) continue;
    output.was_resized = false;
    // They were the tensor's sizes a moment ago, so they fit.
    (void)resize(output.tensor, output.previous_sizes);
  }
}

}  // namespace coreml_delegate
