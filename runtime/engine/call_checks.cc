#include "runtime/engine/call_checks.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/strides.h"
#include "base/tensor_type.h"
#include "runtime/engine/tensor_layout.h"

namespace coreml_delegate::engine {

namespace {

std::string shape_text(std::span<const int64_t> shape) {
  return shape_to_string(shape.data(), shape.size());
}

// Bytes from a tensor's first to its last element; false when they do not fit a size.
bool bytes_needed(std::span<const int64_t> shape, std::span<const int64_t> strides, DataType dtype,
                  size_t* bytes) {
  const int64_t count = element_count(shape);
  if (count < 0) return false;
  const int64_t span = strides.empty() || count == 0 ? count : element_span(shape, strides);
  return !__builtin_mul_overflow(static_cast<size_t>(span), data_type_size(dtype), bytes);
}

Status refused(const char* kind, size_t index, const TensorSpec& spec, const std::string& why) {
  return invalid_argument(kind + (" " + std::to_string(index)) + ": " + why, spec.to_string());
}

std::string wrong_type(DataType dtype) {
  return "the tensor's element type is " + std::string(data_type_name(dtype));
}

std::string wrong_strides(Layouts layouts, std::span<const int64_t> strides) {
  return "the tensor's strides " + shape_text(strides) +
         (layouts == Layouts::kContiguous ? " are not contiguous" : " make elements overlap");
}

}  // namespace

bool accepts_strides(Layouts layouts, std::span<const int64_t> shape,
                     std::span<const int64_t> strides) {
  if (layouts == Layouts::kContiguous) return is_contiguous(shape, strides);
  return shape.size() == strides.size() && is_disjoint(shape, strides);
}

Status check_inputs(const FunctionDescription& function, Layouts layouts,
                    std::span<const ConstTensorView> inputs) {
  const std::vector<TensorSpec>& specs = function.inputs;
  if (inputs.size() != specs.size()) {
    return invalid_argument("the function takes " + std::to_string(specs.size()) +
                                " inputs, and the call has " + std::to_string(inputs.size()),
                            function.name);
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ConstTensorView& view = inputs[i];
    const auto refuse = [&](const std::string& why) { return refused("input", i, specs[i], why); };
    if (view.dtype != specs[i].dtype) return refuse(wrong_type(view.dtype));
    if (!specs[i].accepts(view.shape.data(), view.shape.size())) {
      return refuse("the tensor's shape " + shape_text(view.shape) + " is not allowed");
    }
    if (!view.strides.empty() && !accepts_strides(layouts, view.shape, view.strides)) {
      return refuse(wrong_strides(layouts, view.strides));
    }
    size_t bytes;
    if (!bytes_needed(view.shape, view.strides, view.dtype, &bytes)) {
      return refuse("the tensor of shape " + shape_text(view.shape) + " has too many bytes");
    }
    if (view.data == nullptr && bytes != 0) return refuse("the tensor has no data");
  }
  return {};
}

Status check_outputs(const FunctionDescription& function, Layouts layouts,
                     std::span<const TensorView> outputs) {
  const std::vector<TensorSpec>& specs = function.outputs;
  if (outputs.size() != specs.size()) {
    return invalid_argument("the function returns " + std::to_string(specs.size()) +
                                " outputs, and the call has " + std::to_string(outputs.size()),
                            function.name);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorView& view = outputs[i];
    const auto refuse = [&](const std::string& why) { return refused("output", i, specs[i], why); };
    if (view.dtype != specs[i].dtype) return refuse(wrong_type(view.dtype));
    if (view.shape.size() != specs[i].shape.size()) {
      return refuse("the tensor's shape " + shape_text(view.shape) + " has another rank");
    }
    if (!view.strides.empty() && !accepts_strides(layouts, view.shape, view.strides)) {
      return refuse(wrong_strides(layouts, view.strides));
    }
    if (view.data == nullptr && view.capacity != 0) return refuse("the tensor has no data");
  }
  return {};
}

Status check_capacity(const FunctionDescription& function, size_t output,
                      std::span<const int64_t> extents, TensorView* view) {
  const TensorSpec& spec = function.outputs[output];
  // Strides are for the shape passed in; without them the tensor takes whatever fits.
  if (!view->strides.empty() &&
      !std::equal(extents.begin(), extents.end(), view->shape.begin(), view->shape.end())) {
    return refused("output", output, spec,
                   "the tensor is laid out for " + shape_text(view->shape) +
                       ", but the result is " + shape_text(extents));
  }
  if (view->shape.size() != extents.size()) {
    return engine_failure("the engine returned a result of another rank: " + shape_text(extents),
                          spec.to_string());
  }
  std::copy(extents.begin(), extents.end(), view->shape.begin());
  size_t needed;
  if (!bytes_needed(extents, view->strides, view->dtype, &needed) || needed > view->capacity) {
    return refused("output", output, spec,
                   "the result of shape " + shape_text(extents) + " does not fit the tensor's " +
                       std::to_string(view->capacity) + " bytes");
  }
  return {};
}

Status check_has_state(const FunctionDescription& function, const State* state) {
  if (function.states.empty() && state != nullptr) {
    return invalid_argument("a state was passed, but the function has none", function.name);
  }
  if (!function.states.empty() && state == nullptr) {
    return invalid_argument("the function has states: pass a state that make_state() returned",
                            function.name);
  }
  return {};
}

}  // namespace coreml_delegate::engine
