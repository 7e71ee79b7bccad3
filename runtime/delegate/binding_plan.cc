#include "runtime/delegate/binding_plan.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/strides.h"
#include "runtime/delegate/aligned_buffer.h"
#include "runtime/delegate/tensor_conversion.h"

namespace coreml_delegate {
namespace {

std::string names_of(const std::vector<TensorSpec>& specs) {
  std::string names;
  for (const TensorSpec& spec : specs) names += (names.empty() ? "" : ", ") + spec.name;
  return names.empty() ? "none" : names;
}

bool ranges_meet(const Dimension& a, const Dimension& b) {
  const bool a_reaches_b = a.max == Dimension::kUnbounded || a.max >= b.min;
  const bool b_reaches_a = b.max == Dimension::kUnbounded || b.max >= a.min;
  return a_reaches_b && b_reaches_a;
}

// Whether some tensor fits both.
bool shapes_meet(const TensorSpec& declared, const TensorSpec& model) {
  if (is_scalar_for(declared.shape.size(), model)) return true;
  return std::equal(declared.shape.begin(), declared.shape.end(), model.shape.begin(),
                    model.shape.end(), ranges_meet);
}

Result<std::vector<ArgumentPlan>> match(const std::vector<TensorSpec>& declared,
                                        const std::vector<TensorSpec>& model, const char* kind,
                                        size_t first_argument) {
  if (declared.size() != model.size()) {
    return corrupt_data("the blob lists " + std::to_string(declared.size()) + " " + kind + "s (" +
                        names_of(declared) + "), but the model has " +
                        std::to_string(model.size()) + " (" + names_of(model) + ")");
  }
  std::vector<ArgumentPlan> plans;
  std::vector<bool> taken(model.size());
  for (const TensorSpec& spec : declared) {
    const auto found = std::find_if(model.begin(), model.end(),
                                    [&](const TensorSpec& m) { return m.name == spec.name; });
    if (found == model.end()) {
      return corrupt_data(
          "the model has no " + std::string(kind) + " with this name; it has " + names_of(model),
          spec.name);
    }
    const auto index = static_cast<size_t>(found - model.begin());
    if (taken[index]) {
      return corrupt_data("the blob lists the " + std::string(kind) + " twice", spec.name);
    }
    taken[index] = true;
    if (found->dtype == DataType::kInvalid || found->shape.size() > kMaxConversionRank) {
      return unsupported("the model's " + std::string(kind) +
                             " is not a tensor that can be passed: " + found->to_string(),
                         spec.name);
    }
    // A stock blob lists names only.
    if (spec.dtype != DataType::kInvalid && !shapes_meet(spec, *found)) {
      return corrupt_data(
          "the blob declares " + spec.to_string() + ", but the model has " + found->to_string(),
          spec.name);
    }
    ArgumentPlan plan;
    plan.what = std::string(kind) + " " + spec.name + " (argument " +
                std::to_string(first_argument + plans.size()) + ")";
    plan.declared = spec;
    plan.model = *found;
    plan.model_index = index;
    plan.is_dynamic = !found->is_static();
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace

bool is_scalar_for(size_t tensor_rank, const TensorSpec& model) {
  return tensor_rank == 0 && model.shape.size() == 1 && model.shape[0].contains(1);
}

Result<BindingPlan> make_binding_plan(const blob::Function& function,
                                      const engine::FunctionDescription& description) {
  BindingPlan plan;
  COREML_DELEGATE_ASSIGN_OR_RETURN(plan.inputs,
                                   match(function.inputs, description.inputs, "input", 0));
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      plan.outputs, match(function.outputs, description.outputs, "output", plan.inputs.size()));
  return plan;
}

Result<std::vector<engine::InitialStateValue>> initial_state_values(
    const blob::Blob& blob, const blob::Function& function,
    const engine::FunctionDescription& description) {
  std::vector<engine::InitialStateValue> values;
  // The stock formats do not list states: they start at zero, as they do on a device.
  if (blob.format == blob::Format::kFlattenedDirectory) return values;
  if (function.states.size() != description.states.size()) {
    return corrupt_data("the blob lists " + std::to_string(function.states.size()) +
                        " states, but the model has " + std::to_string(description.states.size()) +
                        " (" + names_of(description.states) + ")");
  }
  for (const blob::State& state : function.states) {
    const auto found =
        std::find_if(description.states.begin(), description.states.end(),
                     [&](const TensorSpec& spec) { return spec.name == state.tensor.name; });
    if (found == description.states.end()) {
      return corrupt_data(
          "the model has no state with this name; it has " + names_of(description.states),
          state.tensor.name);
    }
    if (!found->is_static() || found->shape != state.tensor.shape ||
        found->shape.size() > kMaxConversionRank) {
      return corrupt_data("the blob declares the state " + state.tensor.to_string() +
                              ", but the model has " + found->to_string(),
                          state.tensor.name);
    }
    if (state.initial_value_path.empty()) continue;
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes content,
                                     blob.files.read(state.initial_value_path));
    std::vector<int64_t> shape;
    size_t count = 1;
    for (const Dimension& dimension : found->shape) {
      shape.push_back(dimension.min);
      if (__builtin_mul_overflow(count, static_cast<size_t>(dimension.min), &count)) {
        return corrupt_data("the state is larger than the memory that can be addressed",
                            state.tensor.name);
      }
    }
    const size_t element_size = data_type_size(state.tensor.dtype);
    if (element_size == 0 || content.size() % element_size != 0 ||
        content.size() / element_size != count) {
      return corrupt_data("the initial value has " + std::to_string(content.size()) +
                              " bytes, the state " + state.tensor.to_string() + " does not",
                          state.initial_value_path);
    }
    if (state.tensor.dtype == found->dtype) {
      values.push_back({state.tensor.name, content});
      continue;
    }
    // The blob has the dtype of the program's buffer, the model its own.
    auto converted = std::make_shared<AlignedBuffer>();
    AlignedBuffer aligned;
    const size_t converted_size = count * data_type_size(found->dtype);
    if (!converted->reserve(converted_size) || !aligned.reserve(content.size())) {
      return resource_exhausted("there is not enough memory for the state's initial value",
                                state.tensor.name);
    }
    std::copy(content.span().begin(), content.span().end(), aligned.data());
    std::vector<int64_t> strides(shape.size());
    contiguous_strides(shape, strides);
    COREML_DELEGATE_RETURN_IF_ERROR(convert_tensor(
        shape, {state.tensor.dtype, aligned.data(), strides},
        {found->dtype, converted->data(), strides}, "initial value of state " + state.tensor.name));
    values.push_back(
        {state.tensor.name, Bytes(ByteSpan(converted->data(), converted_size), converted)});
  }
  return values;
}

}  // namespace coreml_delegate
