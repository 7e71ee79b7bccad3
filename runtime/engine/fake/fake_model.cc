#include "runtime/engine/fake/fake_model.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/strides.h"
#include "runtime/engine/event_sink.h"

namespace coreml_delegate::engine {
namespace {

template <typename T>
T load_as(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

template <typename T, typename V>
void store_as(std::byte* at, V value) {
  const T converted = static_cast<T>(value);
  std::memcpy(at, &converted, sizeof(converted));
}

double load_element(DataType dtype, const std::byte* at) {
  switch (dtype) {
    case DataType::kBool:
    case DataType::kUInt8:
      return load_as<uint8_t>(at);
    case DataType::kInt8:
      return load_as<int8_t>(at);
    case DataType::kInt16:
      return load_as<int16_t>(at);
    case DataType::kUInt16:
      return load_as<uint16_t>(at);
    case DataType::kInt32:
      return load_as<int32_t>(at);
    case DataType::kInt64:
      return static_cast<double>(load_as<int64_t>(at));
    case DataType::kFloat16:
      return static_cast<float>(load_as<_Float16>(at));
    case DataType::kFloat32:
      return load_as<float>(at);
    case DataType::kFloat64:
      return load_as<double>(at);
    case DataType::kInvalid:
      break;
  }
  return 0;
}

void store_element(DataType dtype, double value, std::byte* at) {
  switch (dtype) {
    case DataType::kBool:
      return store_as<uint8_t>(at, value != 0);
    case DataType::kUInt8:
      return store_as<uint8_t>(at, value);
    case DataType::kInt8:
      return store_as<int8_t>(at, value);
    case DataType::kInt16:
      return store_as<int16_t>(at, value);
    case DataType::kUInt16:
      return store_as<uint16_t>(at, value);
    case DataType::kInt32:
      return store_as<int32_t>(at, value);
    case DataType::kInt64:
      return store_as<int64_t>(at, value);
    case DataType::kFloat16:
      return store_as<_Float16>(at, static_cast<float>(value));
    case DataType::kFloat32:
      return store_as<float>(at, value);
    case DataType::kFloat64:
      return store_as<double>(at, value);
    case DataType::kInvalid:
      return;
  }
}

size_t element_count(std::span<const int64_t> shape) {
  size_t count = 1;
  for (const int64_t extent : shape) count *= static_cast<size_t>(extent);
  return count;
}

// Offsets in elements of a tensor's elements in row-major order.
std::vector<size_t> element_offsets(std::span<const int64_t> shape,
                                    std::span<const int64_t> strides) {
  const size_t count = element_count(shape);
  std::vector<size_t> offsets(count);
  for (size_t i = 0; i < count; ++i) {
    size_t rest = i;
    size_t offset = 0;
    for (size_t d = shape.size(); d-- > 0;) {
      offset += rest % static_cast<size_t>(shape[d]) * static_cast<size_t>(strides[d]);
      rest /= static_cast<size_t>(shape[d]);
    }
    offsets[i] = offset;
  }
  return offsets;
}

std::vector<std::byte> gather(const ConstTensorView& view) {
  const size_t size = data_type_size(view.dtype);
  std::vector<std::byte> values(element_count(view.shape) * size);
  const std::vector<size_t> offsets = element_offsets(view.shape, view.strides);
  for (size_t i = 0; i < offsets.size(); ++i) {
    std::memcpy(values.data() + i * size,
                static_cast<const std::byte*>(view.data) + offsets[i] * size, size);
  }
  return values;
}

size_t state_bytes(const TensorSpec& spec) {
  size_t bytes = data_type_size(spec.dtype);
  for (const Dimension& dimension : spec.shape) bytes *= static_cast<size_t>(dimension.min);
  return bytes;
}

}  // namespace

// Values live in `values_`, one vector per state; `in_use_` is what refuses a second execute().
class FakeState : public State {
 public:
  FakeState(const std::vector<TensorSpec>& specs,
            std::map<std::string, std::vector<std::byte>> initial,
            std::shared_ptr<FakeControls> controls)
      : specs_(specs),
        initial_(initial),
        values_(std::move(initial)),
        controls_(std::move(controls)) {}

  Status reset() override {
    COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kResetState));
    COREML_DELEGATE_RETURN_IF_ERROR(acquire());
    values_ = initial_;
    release();
    return Status();
  }

  Status read(std::string_view name, std::span<std::byte> destination) const override {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<std::byte>* value, find(name));
    if (destination.size() != value->size())
      return wrong_size(name, destination.size(), value->size());
    std::copy(value->begin(), value->end(), destination.begin());
    return Status();
  }

  Status write(std::string_view name, ByteSpan source) override {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<std::byte>* value, find(name));
    if (source.size() != value->size()) return wrong_size(name, source.size(), value->size());
    values_[std::string(name)].assign(source.begin(), source.end());
    return Status();
  }

  Result<std::unique_ptr<State>> copy() const override {
    COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kCopyState));
    auto state = std::make_unique<FakeState>(specs_, initial_, controls_);
    state->values_ = values_;
    return std::unique_ptr<State>(std::move(state));
  }

  Status acquire() {
    if (in_use_.exchange(true))
      return failed_precondition("the state is in use by another execution");
    return Status();
  }
  void release() { in_use_ = false; }
  std::map<std::string, std::vector<std::byte>>& values() { return values_; }

 private:
  Result<const std::vector<std::byte>*> find(std::string_view name) const {
    const auto found = values_.find(std::string(name));
    if (found != values_.end()) return &found->second;
    std::string names;
    for (const auto& [known, value] : values_) names += " " + known;
    return not_found("there is no state of that name; there are:" + names, std::string(name));
  }
  static Status wrong_size(std::string_view name, size_t got, size_t expected) {
    return invalid_argument(
        "the state has " + std::to_string(expected) + " bytes, not " + std::to_string(got),
        std::string(name));
  }

  const std::vector<TensorSpec> specs_;
  const std::map<std::string, std::vector<std::byte>> initial_;
  std::map<std::string, std::vector<std::byte>> values_;
  const std::shared_ptr<FakeControls> controls_;
  std::atomic<bool> in_use_ = false;
};

FunctionDescription describe_fake_function(const FakeFunction& function) {
  FunctionDescription description{
      .name = function.name, .inputs = function.inputs, .outputs = {}, .states = function.states};
  for (const FakeOutput& output : function.outputs) description.outputs.push_back(output.spec);
  return description;
}

FakeModel::FakeModel(FakeFunction function, std::map<std::string, Bytes> weights,
                     bool accepts_strides, std::shared_ptr<FakeControls> controls)
    : function_(std::move(function)),
      description_(describe_fake_function(function_)),
      weights_(std::move(weights)),
      accepts_strides_(accepts_strides),
      controls_(std::move(controls)) {
  ++controls_->live_models_;
}

FakeModel::~FakeModel() { --controls_->live_models_; }

bool FakeModel::accepts_strides(std::span<const int64_t> shape,
                                std::span<const int64_t> strides) const {
  if (accepts_strides_) return true;
  const std::vector<int64_t> contiguous = contiguous_strides(shape);
  for (size_t i = 0; i < shape.size(); ++i) {
    // The stride of an extent of 1 means nothing.
    if (shape[i] != 1 && strides[i] != contiguous[i]) return false;
  }
  return strides.size() == shape.size();
}

Result<std::unique_ptr<State>> FakeModel::make_state(std::span<const InitialStateValue> initial) {
  COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kMakeState));
  if (function_.states.empty()) {
    return failed_precondition("the function has no states", function_.name);
  }
  std::map<std::string, std::vector<std::byte>> values;
  for (const TensorSpec& spec : function_.states) values[spec.name].resize(state_bytes(spec));
  for (const InitialStateValue& value : initial) {
    const auto found = values.find(value.name);
    if (found == values.end()) return not_found("there is no state of that name", value.name);
    if (value.value.size() != found->second.size()) {
      return invalid_argument("the initial value has the wrong size", value.name);
    }
    found->second.assign(value.value.span().begin(), value.value.span().end());
  }
  return std::unique_ptr<State>(
      std::make_unique<FakeState>(function_.states, std::move(values), controls_));
}

Status FakeModel::execute(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
                          const ExecuteOptions& options) {
  const uint64_t start = now_ns();
  struct Concurrency {
    FakeControls& controls;
    explicit Concurrency(FakeControls& c) : controls(c) {
      const int64_t now = ++controls.executing_;
      int64_t most = controls.most_concurrent_executions_;
      while (now > most && !controls.most_concurrent_executions_.compare_exchange_weak(most, now)) {
      }
    }
    ~Concurrency() { --controls.executing_; }
  } concurrency(*controls_);
  COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kExecute));

  if (inputs.size() != function_.inputs.size() || outputs.size() != function_.outputs.size()) {
    return invalid_argument("wrong number of inputs or outputs", function_.name);
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorSpec& spec = function_.inputs[i];
    if (inputs[i].dtype != spec.dtype || inputs[i].strides.size() != inputs[i].shape.size() ||
        !spec.accepts(inputs[i].shape.data(), inputs[i].shape.size())) {
      return invalid_argument("the tensor does not fit " + spec.to_string(), spec.name);
    }
    if (!accepts_strides(inputs[i].shape, inputs[i].strides)) {
      return invalid_argument("strides that are not accepted", spec.name);
    }
  }
  if ((options.state == nullptr) != function_.states.empty()) {
    return invalid_argument(function_.states.empty() ? "a state for a function that has none"
                                                     : "the function needs a state",
                            function_.name);
  }
  auto* state = static_cast<FakeState*>(options.state);
  if (state) COREML_DELEGATE_RETURN_IF_ERROR(state->acquire());
  struct Release {
    FakeState* state;
    ~Release() {
      if (state) state->release();
    }
  } release{state};

  const auto input = [&](const std::string& name) -> const ConstTensorView& {
    size_t i = 0;
    while (function_.inputs[i].name != name) ++i;
    return inputs[i];
  };
  // Everything is computed aside first, so that a failure writes nothing.
  struct Computed {
    std::vector<int64_t> shape;
    std::vector<std::byte> values;
  };
  std::vector<Computed> computed(outputs.size());
  std::map<std::string, std::vector<std::byte>> new_state;
  if (state) new_state = state->values();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const FakeOutput& output = function_.outputs[i];
    const DataType dtype = output.spec.dtype;
    const size_t size = data_type_size(dtype);
    Computed& result = computed[i];
    switch (output.operation) {
      case FakeOperation::kIdentity: {
        const ConstTensorView& x = input(output.operands[0]);
        result.shape.assign(x.shape.begin(), x.shape.end());
        result.values = gather(x);
        break;
      }
      case FakeOperation::kAdd: {
        const ConstTensorView& x = input(output.operands[0]);
        const ConstTensorView& y = input(output.operands[1]);
        if (!std::equal(x.shape.begin(), x.shape.end(), y.shape.begin(), y.shape.end())) {
          return invalid_argument("add takes two tensors of one shape", output.spec.name);
        }
        const std::vector<std::byte> left = gather(x);
        const std::vector<std::byte> right = gather(y);
        result.shape.assign(x.shape.begin(), x.shape.end());
        result.values.resize(element_count(x.shape) * size);
        for (size_t e = 0; e < element_count(x.shape); ++e) {
          store_element(dtype,
                        load_element(x.dtype, left.data() + e * data_type_size(x.dtype)) +
                            load_element(y.dtype, right.data() + e * data_type_size(y.dtype)),
                        result.values.data() + e * size);
        }
        break;
      }
      case FakeOperation::kAccumulate: {
        const ConstTensorView& x = input(output.operands[1]);
        const std::vector<std::byte> addend = gather(x);
        std::vector<std::byte>& value = new_state[output.operands[0]];
        size_t s = 0;
        while (function_.states[s].name != output.operands[0]) ++s;
        const DataType of_state = function_.states[s].dtype;
        const size_t count = value.size() / data_type_size(of_state);
        if (element_count(x.shape) != count) {
          return invalid_argument("accumulate takes as many elements as the state has",
                                  output.spec.name);
        }
        for (const Dimension& dimension : output.spec.shape) result.shape.push_back(dimension.min);
        result.values.resize(count * size);
        for (size_t e = 0; e < count; ++e) {
          std::byte* at = value.data() + e * data_type_size(of_state);
          const double sum = load_element(of_state, at) +
                             load_element(x.dtype, addend.data() + e * data_type_size(x.dtype));
          store_element(of_state, sum, at);
          store_element(dtype, load_element(of_state, at), result.values.data() + e * size);
        }
        break;
      }
      case FakeOperation::kNonzero: {
        const ConstTensorView& x = input(output.operands[0]);
        const std::vector<std::byte> values = gather(x);
        for (size_t e = 0; e < element_count(x.shape); ++e) {
          if (load_element(x.dtype, values.data() + e * data_type_size(x.dtype)) == 0) continue;
          result.values.resize(result.values.size() + size);
          store_element(dtype, static_cast<double>(e),
                        result.values.data() + result.values.size() - size);
        }
        result.shape = {static_cast<int64_t>(result.values.size() / size)};
        break;
      }
      case FakeOperation::kWeight: {
        const Bytes& bytes = weights_.at(output.operands[0]);
        for (const Dimension& dimension : output.spec.shape) result.shape.push_back(dimension.min);
        result.values.assign(bytes.span().begin(), bytes.span().end());
        break;
      }
    }
    TensorView& view = outputs[i];
    if (view.dtype != dtype || view.shape.size() != result.shape.size()) {
      return invalid_argument("the tensor does not fit " + output.spec.to_string(),
                              output.spec.name);
    }
    if (view.strides.empty()) {
      if (result.values.size() > view.capacity) {
        std::copy(result.shape.begin(), result.shape.end(), view.shape.begin());  // What is needed.
        return invalid_argument("the output needs " + std::to_string(result.values.size()) +
                                    " bytes, its buffer has " + std::to_string(view.capacity),
                                output.spec.name);
      }
    } else if (!std::equal(view.shape.begin(), view.shape.end(), result.shape.begin(),
                           result.shape.end()) ||
               !accepts_strides(view.shape, view.strides)) {
      return invalid_argument("the buffer is laid out for another shape", output.spec.name);
    }
  }
  COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kExecuteEnd));

  if (state) state->values() = std::move(new_state);
  for (size_t i = 0; i < outputs.size(); ++i) {
    TensorView& view = outputs[i];
    const size_t size = data_type_size(view.dtype);
    const std::vector<int64_t> contiguous = contiguous_strides(computed[i].shape);
    const std::vector<size_t> offsets =
        element_offsets(computed[i].shape,
                        view.strides.empty() ? std::span<const int64_t>(contiguous) : view.strides);
    for (size_t e = 0; e < offsets.size(); ++e) {
      std::memcpy(static_cast<std::byte*>(view.data) + offsets[e] * size,
                  computed[i].values.data() + e * size, size);
    }
    std::copy(computed[i].shape.begin(), computed[i].shape.end(), view.shape.begin());
    if (options.events && options.events->wants_operation_timings()) {
      options.events->on_timing({.kind = EventKind::kOperation,
                                 .name = function_.outputs[i].spec.name,
                                 .type = "fake",
                                 .start_ns = start,
                                 .end_ns = now_ns()});
    }
    if (options.events && options.events->wants_intermediate_values()) {
      options.events->on_intermediate_value(function_.outputs[i].spec.name, "fake",
                                            {.dtype = view.dtype,
                                             .shape = computed[i].shape,
                                             .strides = contiguous,
                                             .data = computed[i].values.data()});
    }
  }
  if (options.events) {
    options.events->on_timing({.kind = EventKind::kExecute,
                               .name = function_.name,
                               .start_ns = start,
                               .end_ns = now_ns()});
  }
  return Status();
}

}  // namespace coreml_delegate::engine
