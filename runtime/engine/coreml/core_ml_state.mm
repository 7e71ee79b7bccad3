#include "runtime/engine/coreml/core_ml_state.h"

#include <algorithm>
#include <utility>

#include "runtime/engine/coreml/guard.h"
#include "runtime/engine/coreml/tensors.h"
#include "runtime/engine/tensor_layout.h"

namespace coreml_delegate::engine::coreml {

namespace {

std::vector<int64_t> shape_of(const TensorSpec& spec) {
  std::vector<int64_t> shape;
  for (const Dimension& dimension : spec.shape) shape.push_back(dimension.min);
  return shape;
}

size_t byte_size(const TensorSpec& spec) {
  return static_cast<size_t>(element_count(shape_of(spec))) * data_type_size(spec.dtype);
}

// A state of the model, for the caller to release.
Result<NSObject*> new_state(MLModel* model) {
  if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
    NSObject* const state = [model newState];
    if (state == nil) return engine_failure("Core ML did not make a state");
    return state;
  }
  return unsupported("models with states need macOS 15, iOS 18, tvOS 18 or watchOS 11");
}

// Calls `visit` with the array of a state.
template <typename Visit>
Status visit_buffer(NSObject* object, const TensorSpec& spec, const Visit& visit) {
  if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
    Status result = engine_failure("Core ML did not return the state's buffer", spec.name);
    Status* const outcome = &result;
    MLState* const state = static_cast<MLState*>(object);
    [state getMultiArrayForStateNamed:to_ns(spec.name)
                              handler:^(MLMultiArray* buffer) {
                                if (data_type(buffer.dataType) != spec.dtype ||
                                    from_numbers(buffer.shape) != shape_of(spec)) {
                                  *outcome =
                                      engine_failure("Core ML's buffer has another type or shape",
                                                     spec.to_string());
                                  return;
                                }
                                *outcome = {};
                                visit(buffer);
                              }];
    return result;
  }
  return unsupported("models with states need macOS 15, iOS 18, tvOS 18 or watchOS 11", spec.name);
}

}  // namespace

Status CoreMLState::Use::status() const {
  if (held_) return {};
  return failed_precondition(
      "the state is in use by another call; use one state for each sequence");
}

Result<std::unique_ptr<CoreMLState>> CoreMLState::create(
    MLModel* model, std::vector<TensorSpec> specs, std::span<const InitialStateValue> initial) {
  std::unique_ptr<CoreMLState> state(new CoreMLState);
  for (TensorSpec& spec : specs) state->values_.push_back({std::move(spec), 0, nullptr});
  for (const InitialStateValue& given : initial) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Value* const found,
                                     state->find(given.name, given.value.size()));
    const auto index = static_cast<size_t>(found - state->values_.data());
    state->values_[index].initial = std::make_shared<const std::vector<std::byte>>(
        given.value.data(), given.value.data() + given.value.size());
  }
  const Status made = guarded("make a state", "", [&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(NSObject* const created, new_state(model));
    state->holders_.push_back({ObjCPtr<MLModel>::retain(model), ObjCPtr<NSObject>::adopt(created)});
    for (const Value& value : state->values_) {
      if (value.initial != nullptr)
        COREML_DELEGATE_RETURN_IF_ERROR(state->write_value(value, *value.initial));
    }
    return {};
  });
  if (!made.ok()) return made;
  return state;
}

Result<const CoreMLState::Value*> CoreMLState::find(std::string_view name, size_t size) const {
  std::string names;
  for (const Value& value : values_) {
    if (value.spec.name == name) {
      if (size != byte_size(value.spec)) {
        return invalid_argument("the state has " + std::to_string(byte_size(value.spec)) +
                                    " bytes, and the caller's buffer has " + std::to_string(size),
                                value.spec.to_string());
      }
      return &value;
    }
    names += (names.empty() ? "" : ", ") + value.spec.name;
  }
  return not_found("there is no state with this name; the states are: " + names, std::string(name));
}

Status CoreMLState::read_value(const Value& value, std::span<std::byte> destination) const {
  return visit_buffer(holders_[value.holder].state.get(), value.spec, [&](MLMultiArray* buffer) {
    with_bytes(buffer, [&](const void* bytes, std::span<const int64_t> strides) {
      copy_strided(shape_of(value.spec), data_type_size(value.spec.dtype), bytes, strides,
                   destination.data(), {});
    });
  });
}

Status CoreMLState::write_value(const Value& value, ByteSpan source) {
  return visit_buffer(holders_[value.holder].state.get(), value.spec, [&](MLMultiArray* buffer) {
    with_mutable_bytes(buffer, [&](void* bytes, std::span<const int64_t> strides) {
      copy_strided(shape_of(value.spec), data_type_size(value.spec.dtype), source.data(), {}, bytes,
                   strides);
    });
  });
}

Status CoreMLState::reset_values() {
  for (const Value& value : values_) {
    if (value.initial != nullptr) {
      COREML_DELEGATE_RETURN_IF_ERROR(write_value(value, *value.initial));
    } else {
      COREML_DELEGATE_RETURN_IF_ERROR(
          write_value(value, std::vector<std::byte>(byte_size(value.spec))));
    }
  }
  return {};
}

Status CoreMLState::reset() {
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  return guarded("reset a state", "", [&] { return reset_values(); });
}

Status CoreMLState::read(std::string_view name, std::span<std::byte> destination) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Value* const value, find(name, destination.size()));
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  return guarded("read a state", std::string(name),
                 [&] { return read_value(*value, destination); });
}

Status CoreMLState::write(std::string_view name, ByteSpan source) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Value* const value, find(name, source.size()));
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  return guarded("write a state", std::string(name), [&] { return write_value(*value, source); });
}

Result<std::unique_ptr<State>> CoreMLState::copy() const {
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  std::unique_ptr<CoreMLState> result(new CoreMLState);
  const Status copied = guarded("copy a state", "", [&]() -> Status {
    for (const Holder& holder : holders_) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(NSObject* const created, new_state(holder.model.get()));
      result->holders_.push_back({holder.model, ObjCPtr<NSObject>::adopt(created)});
    }
    result->values_ = values_;
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Snapshot present, snapshot());
    return result->restore(present);
  });
  if (!copied.ok()) return copied;
  return std::unique_ptr<State>(std::move(result));
}

Result<NSObject*> CoreMLState::prepare(MLModel* model, const std::vector<TensorSpec>& specs) {
  std::vector<Value*> needed;
  for (const TensorSpec& spec : specs) {
    const auto found = std::find_if(values_.begin(), values_.end(),
                                    [&](const Value& value) { return value.spec == spec; });
    if (found == values_.end()) {
      return invalid_argument(
          "the state that was passed belongs to another function, and lacks this state",
          spec.to_string());
    }
    needed.push_back(&*found);
  }
  const auto same = [&](const Holder& holder) { return holder.model.get() == model; };
  auto holder = std::find_if(holders_.begin(), holders_.end(), same);
  if (holder == holders_.end()) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(NSObject* const created, new_state(model));
    holders_.push_back({ObjCPtr<MLModel>::retain(model), ObjCPtr<NSObject>::adopt(created)});
    holder = holders_.end() - 1;
  }
  const auto index = static_cast<size_t>(holder - holders_.begin());
  for (Value* const value : needed) {
    if (value->holder == index) continue;
    std::vector<std::byte> bytes(byte_size(value->spec));
    COREML_DELEGATE_RETURN_IF_ERROR(read_value(*value, bytes));
    const size_t before = std::exchange(value->holder, index);
    if (Status written = write_value(*value, bytes); !written.ok()) {
      value->holder = before;
      return written;
    }
  }
  return holder->state.get();
}

Result<CoreMLState::Snapshot> CoreMLState::snapshot() const {
  Snapshot snapshot;
  for (const Value& value : values_) {
    std::vector<std::byte>& bytes = snapshot[value.spec.name];
    bytes.resize(byte_size(value.spec));
    COREML_DELEGATE_RETURN_IF_ERROR(read_value(value, bytes));
  }
  return snapshot;
}

Status CoreMLState::restore(const Snapshot& snapshot) {
  for (const Value& value : values_) {
    const auto found = snapshot.find(value.spec.name);
    if (found != snapshot.end()) COREML_DELEGATE_RETURN_IF_ERROR(write_value(value, found->second));
  }
  return {};
}

}  // namespace coreml_delegate::engine::coreml
