#include "runtime/engine/portable/portable_model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/strides.h"
#include "runtime/engine/call_checks.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/portable/openvino_core.h"

namespace coreml_delegate::engine::portable {

namespace {

constexpr Layouts kLayouts = Layouts::kContiguous;

std::vector<int64_t> extents_of(const ov::Shape& shape) {
  return std::vector<int64_t>(shape.begin(), shape.end());
}

// Gives a request back to its pool unless an exception or a failure says that it may not be whole.
class Lease {
 public:
  explicit Lease(LoadedGraph& graph) : graph_(graph), request_(graph.take()) {}
  BoundRequest& operator*() { return *request_; }
  BoundRequest* operator->() { return request_.get(); }
  void release() { graph_.give_back(std::move(request_)); }

 private:
  LoadedGraph& graph_;
  std::unique_ptr<BoundRequest> request_;
};

}  // namespace

PortableModel::PortableModel(FunctionPlan plan, std::unique_ptr<LoadedGraph> graph,
                             GraphLoader loader, bool offers_intermediate_values)
    : plan_(std::move(plan)),
      offers_intermediate_values_(offers_intermediate_values),
      plain_(std::move(graph)),
      loader_(std::move(loader)) {
  for (const TensorSpec& spec : plan_.description.inputs) {
    input_types_.push_back(element_type(spec.dtype));
  }
  for (size_t i = 0; i < plan_.outputs.size(); ++i) {
    output_types_.push_back(element_type(plan_.description.outputs[i].dtype));
    static_outputs_.emplace_back();
    const auto& ports = plain_->compiled().outputs();
    if (plan_.outputs[i].index >= ports.size()) continue;  // check_ports() tells.
    const ov::PartialShape& shape = ports[plan_.outputs[i].index].get_partial_shape();
    if (shape.is_static()) {
      static_outputs_.back() =
          plan_.outputs[i].is_scalar ? std::vector<int64_t>{1} : extents_of(shape.to_shape());
    } else {
      all_outputs_static_ = false;
    }
  }
  for (size_t i = 0; i < plan_.states.size(); ++i) {
    states_.push_back({plan_.description.states[i], plan_.states[i].buffer_type});
  }
}

Status PortableModel::check_ports() const {
  const auto& inputs = plain_->compiled().inputs();
  const auto& outputs = plain_->compiled().outputs();
  const auto check = [](const auto& ports, size_t index, const ov::element::Type& type,
                        const std::string& name) -> Status {
    if (index < ports.size() && ports[index].get_element_type() == type) return {};
    return corrupt_data("the compiled graph has no port with this name and type", name);
  };
  for (size_t i = 0; i < plan_.inputs.size(); ++i) {
    COREML_DELEGATE_RETURN_IF_ERROR(
        check(inputs, plan_.inputs[i].index, input_types_[i], plan_.description.inputs[i].name));
  }
  for (size_t i = 0; i < plan_.outputs.size(); ++i) {
    COREML_DELEGATE_RETURN_IF_ERROR(check(outputs, plan_.outputs[i].index, output_types_[i],
                                          plan_.description.outputs[i].name));
  }
  size_t written = 0;
  for (size_t i = 0; i < plan_.states.size(); ++i) {
    const StatePlan& state = plan_.states[i];
    const TensorSpec& spec = plan_.description.states[i];
    const ov::element::Type type = element_type(state.buffer_type);
    COREML_DELEGATE_RETURN_IF_ERROR(check(inputs, state.input_index, type, spec.name));
    if (!spec.is_static() || inputs[state.input_index].get_partial_shape() != ov::PartialShape([&] {
                               ov::Shape shape;
                               for (const Dimension& dimension : spec.shape) {
                                 shape.push_back(static_cast<size_t>(dimension.min));
                               }
                               return shape;
                             }())) {
      return corrupt_data("the compiled graph's port has another shape than the state", spec.name);
    }
    if (!state.output_index.has_value()) continue;
    ++written;
    COREML_DELEGATE_RETURN_IF_ERROR(check(outputs, *state.output_index, type, spec.name));
    if (outputs[*state.output_index].get_partial_shape() !=
        inputs[state.input_index].get_partial_shape()) {
      return corrupt_data("the compiled graph writes another shape than the state's", spec.name);
    }
  }
  if (inputs.size() != plan_.inputs.size() + plan_.states.size() ||
      outputs.size() != plan_.outputs.size() + written) {
    return corrupt_data("the compiled graph has more ports than its description",
                        plan_.description.name);
  }
  return {};
}

bool PortableModel::accepts_strides(std::span<const int64_t> shape,
                                    std::span<const int64_t> strides) const {
  return engine::accepts_strides(kLayouts, shape, strides);
}

Result<std::unique_ptr<State>> PortableModel::make_state(
    std::span<const InitialStateValue> initial) {
  if (states_.empty()) {
    return failed_precondition("the function has no states", plan_.description.name);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<PortableState> state,
                                   PortableState::create(states_, initial));
  return std::unique_ptr<State>(std::move(state));
}

Status PortableModel::check_state(State* state, PortableState** portable) const {
  *portable = nullptr;
  COREML_DELEGATE_RETURN_IF_ERROR(check_has_state(plan_.description, state));
  if (state == nullptr) return {};
  *portable = dynamic_cast<PortableState*>(state);
  if (*portable == nullptr) {
    return invalid_argument("the state was made by another engine", plan_.description.name);
  }
  for (const StateLayout& layout : states_) {
    if ((*portable)->find(layout) == nullptr) {
      return invalid_argument(
          "the state that was passed belongs to another function, and lacks this state",
          layout.spec.to_string());
    }
  }
  return {};
}

Result<LoadedGraph*> PortableModel::graph_for(GraphForm form, EventSink* events) {
  if (form == GraphForm::kPlain) return plain_.get();
  const MutexLock lock(mutex_);
  std::unique_ptr<LoadedGraph>& graph = form == GraphForm::kProfiled ? profiled_ : exposed_;
  if (graph == nullptr) {
    const uint64_t start = now_ns();
    COREML_DELEGATE_ASSIGN_OR_RETURN(graph, loader_(form));
    events->on_timing({EventKind::kLoad, plan_.description.name, {}, start, now_ns()});
  }
  return graph.get();
}

Status PortableModel::execute(std::span<const ConstTensorView> inputs,
                              std::span<TensorView> outputs, const ExecuteOptions& options) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_inputs(plan_.description, kLayouts, inputs));
  COREML_DELEGATE_RETURN_IF_ERROR(check_outputs(plan_.description, kLayouts, outputs));
  PortableState* state = nullptr;
  COREML_DELEGATE_RETURN_IF_ERROR(check_state(options.state, &state));
  std::optional<PortableState::Use> use;
  if (state != nullptr) {
    use.emplace(*state);
    if (!use->ok())
      return use->status().annotate("cannot execute the function", plan_.description.name);
  }
  // Each one, so that a caller learns all the extents it needs at once.
  Status capacity;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (static_outputs_[i].empty() && !plan_.description.outputs[i].shape.empty()) continue;
    Status checked = check_capacity(plan_.description, i, static_outputs_[i], &outputs[i]);
    if (capacity.ok()) capacity = std::move(checked);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(capacity);

  GraphForm form = GraphForm::kPlain;
  if (options.events != nullptr) {
    if (options.events->wants_intermediate_values() && offers_intermediate_values_) {
      form = GraphForm::kExposed;
    } else if (options.events->wants_operation_timings()) {
      form = GraphForm::kProfiled;
    }
  }
  const std::string& name = plan_.description.name;
  Result<LoadedGraph*> graph = graph_for(form, options.events);
  if (!graph.ok()) {
    return graph.status().annotate("cannot load the function for inspection", name);
  }
  const uint64_t start = options.events != nullptr ? now_ns() : 0;
  uint64_t measuring_ns = 0;
  const Status status = guard("executing the function", name, [&] {
    return run(**graph, inputs, outputs, state, options.events, measuring_ns);
  });
  if (status.ok() && options.events != nullptr) {
    options.events->on_timing({EventKind::kExecute, name, {}, start, now_ns() - measuring_ns});
  }
  return status;
}

Status PortableModel::run(LoadedGraph& graph, std::span<const ConstTensorView> inputs,
                          std::span<TensorView> outputs, PortableState* state, EventSink* events,
                          uint64_t& measuring_ns) {
  Lease request(graph);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const PortPlan& port = plan_.inputs[i];
    request->bind_input(port.index, input_types_[i],
                        port.is_scalar ? std::span<const int64_t>() : inputs[i].shape,
                        inputs[i].data);
  }
  // Results go to the caller's buffers where all their extents are known, else to OpenVINO's, so
  // that nothing is written to any before all are known to fit.
  if (all_outputs_static_) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      const PortPlan& port = plan_.outputs[i];
      request->bind_output(port.index, output_types_[i],
                           port.is_scalar ? std::span<const int64_t>() : outputs[i].shape,
                           outputs[i].data);
    }
  }
  std::vector<PortableState::Slot*> slots;
  for (size_t i = 0; i < states_.size(); ++i) {
    PortableState::Slot* const slot = state->find(states_[i]);
    slots.push_back(slot);
    const StatePlan& port = plan_.states[i];
    std::vector<int64_t> shape;
    for (const Dimension& dimension : states_[i].spec.shape) shape.push_back(dimension.min);
    const ov::element::Type type = element_type(port.buffer_type);
    request->bind_input(port.input_index, type, shape, slot->current.get());
    if (port.output_index.has_value()) {
      request->bind_output(*port.output_index, type, shape, slot->next.get());
    }
  }

  const uint64_t start = events != nullptr ? now_ns() : 0;
  std::vector<NodeTime> times;
  if (events != nullptr && events->wants_operation_timings()) {
    ProfiledExecution profiled = graph.execute_profiled(request->request());
    times = std::move(profiled.nodes);
    measuring_ns = now_ns() - start - profiled.nanoseconds;
  } else {
    graph.execute(request->request());
  }

  if (!all_outputs_static_) {
    std::vector<ov::Tensor> results;
    Status capacity;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ov::Tensor& result =
          results.emplace_back(request->request().get_output_tensor(plan_.outputs[i].index));
      const std::vector<int64_t> extents =
          plan_.outputs[i].is_scalar ? std::vector<int64_t>{1} : extents_of(result.get_shape());
      Status checked = check_capacity(plan_.description, i, extents, &outputs[i]);
      if (capacity.ok()) capacity = std::move(checked);
    }
    if (!capacity.ok()) {
      request.release();
      return capacity;
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (const size_t bytes = results[i].get_byte_size(); bytes != 0) {
        std::memcpy(outputs[i].data, results[i].data(), bytes);
      }
    }
  }
  for (size_t i = 0; i < slots.size(); ++i) {
    if (plan_.states[i].output_index.has_value()) std::swap(slots[i]->current, slots[i]->next);
  }
  if (events != nullptr) {
    const uint64_t began = now_ns();
    report(graph, *request, start, times, *events);
    measuring_ns += now_ns() - began;
  }
  request.release();
  return {};
}

void PortableModel::report(LoadedGraph& graph, BoundRequest& request, uint64_t start_ns,
                           const std::vector<NodeTime>& times, EventSink& events) const {
  if (!times.empty()) {
    const auto& operations = graph.executed_operations(plan_.operations);
    uint64_t at = start_ns;
    for (const NodeTime& time : times) {
      // What OpenVINO added by itself (layout changes, conversions) keeps its own name.
      const auto found = operations.find(time.node);
      TimingEvent event{EventKind::kOperation, time.node, {}, at, at + time.nanoseconds};
      if (found != operations.end()) {
        event.name = found->second.output;
        event.type = found->second.type;
      }
      events.on_timing(event);
      at += time.nanoseconds;
    }
  }
  if (graph.intermediates().empty()) return;
  std::map<std::string_view, std::string_view> types;
  for (const auto& [node, operation] : plan_.operations) {
    // A node at the function's border has the value's name too.
    if (operation.type != "output") types[operation.output] = operation.type;
  }
  for (const IntermediatePort& port : graph.intermediates()) {
    const ov::Tensor tensor = request.request().get_output_tensor(port.index);
    const std::vector<int64_t> shape = extents_of(tensor.get_shape());
    const std::vector<int64_t> strides = contiguous_strides(shape);
    const DataType dtype = data_type(tensor.get_element_type());
    if (dtype == DataType::kInvalid) continue;
    const auto type = types.find(port.name);
    events.on_intermediate_value(port.name, type == types.end() ? "" : type->second,
                                 {dtype, shape, strides, tensor.data()});
  }
}

}  // namespace coreml_delegate::engine::portable
