#include "runtime/delegate/delegate_instance.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/logging.h"
#include "runtime/delegate/warm_up.h"

namespace coreml_delegate {
namespace {

// The function of the blob that the call is about.
Result<const blob::Function*> select_function(const blob::DelegateCall& call,
                                              const std::string& method_name) {
  if (!call.function_name.empty()) return call.blob.function(call.function_name);
  if (call.blob.functions.size() == 1) return &call.blob.functions.front();
  std::string methods;
  for (const blob::Function& function : call.blob.functions) {
    if (function.method == method_name) return &function;
    methods +=
        (methods.empty() ? "" : ", ") + (function.method.empty() ? function.name : function.method);
  }
  return corrupt_data("the blob has no function for this method; it has functions for: " + methods,
                      method_name);
}

// What the blob itself asks for; every source before it wins.
Result<DelegateOptions> blob_options(const blob::Blob& blob) {
  DelegateOptions options;
  if (blob.compute_units.empty()) return options;
  Result<engine::ComputeUnits> units = parse_compute_units(blob.compute_units);
  if (!units.ok()) {
    return units.status().annotate_as(StatusCode::kCorruptData,
                                      "the blob's request cannot be understood");
  }
  options.compute_units = *units;
  return options;
}

// How models of one loaded program are told from others: by its address where there is one, else
// each is by itself.
std::string memory_of(const void* program) {
  static std::atomic<uint64_t> loads{0};
  return program != nullptr
             ? "program " + std::to_string(reinterpret_cast<uintptr_t>(program))
             : "load " + std::to_string(loads.fetch_add(1, std::memory_order_relaxed));
}

// Tells of a part of an execution that began at `start` and ends now.
void report(const char* what, uint64_t start, EventBridge& events) {
  events.on_timing({.kind = engine::EventKind::kOperation,
                    .name = what,
                    .type = {},
                    .start_ns = start,
                    .end_ns = now_ns()});
}

}  // namespace

DelegateInstance::DelegateInstance(std::string method_name, std::string name,
                                   std::shared_ptr<engine::Model> model,
                                   std::shared_ptr<StateHolder> states, BindingPlan plan)
    : method_name_(std::move(method_name)),
      name_(std::move(name)),
      model_(std::move(model)),
      states_(std::move(states)),
      binding_(std::move(plan), *model_) {}

Result<std::unique_ptr<DelegateInstance>> DelegateInstance::create(
    const blob::DelegateCall& call, const std::string& method_name, const DelegateOptions& options,
    CompiledModelProvider& provider, executorch::runtime::EventTracer* tracer,
    const StateSharing& sharing) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const blob::Function* const function,
                                   select_function(call, method_name));
  const std::string name = "function " + (function->name.empty() ? "(default)" : function->name) +
                           " of method " + method_name;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const DelegateOptions asked_by_blob, blob_options(call.blob));
  const DelegateOptions merged = options.or_else(asked_by_blob);
  COREML_DELEGATE_ASSIGN_OR_RETURN(engine::Engine* const engine,
                                   engine::find_engine(merged.engine.value_or("")));

  EventBridge events(tracer);
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::string cache_dir, cache_folder(merged));
  engine::LoadOptions load = engine_options(merged);
  load.function_name = function->name;
  load.events = events.sink();
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      std::shared_ptr<engine::Model> model,
      provider.load({
          .blob = &call.blob,
          .engine = engine,
          .options = std::move(load),
          .memory = memory_of(sharing.program),
          .share_across_programs = merged.share_models.value_or(false),
          .cache_dir = std::move(cache_dir),
          .cache_budget_bytes =
              static_cast<uint64_t>(merged.cache_budget_mb.value_or(0)) * 1'000'000,
          .cache_verification = merged.cache_verification.value_or(assets::Verification::kFirstUse),
          .helper = {.program = merged.compile_helper.value_or(""),
                     .timeout_seconds = merged.compile_helper_timeout_s.value_or(0),
                     .memory_limit_bytes =
                         int64_t{merged.compile_helper_memory_mb.value_or(0)} * 1'000'000},
      }));
  const engine::FunctionDescription& description = model->description();
  Result<BindingPlan> plan = make_binding_plan(*function, description);
  if (!plan.ok()) {
    return plan.status().annotate("the model differs from what the blob says about it", name);
  }
  std::shared_ptr<StateHolder> states;
  Result<std::vector<engine::InitialStateValue>> initial =
      initial_state_values(call.blob, *function, description);
  if (!initial.ok()) return initial.status().annotate("the model's states cannot be set up", name);
  if (!description.states.empty()) {
    const auto make = [&] { return StateHolder::make(name, model, *initial); };
    // The stock formats list no states, and their runtime shares none.
    const bool shares = sharing.states && sharing.program && !call.function_name.empty() &&
                        call.blob.functions.size() > 1 && !function->states.empty();
    Result<std::shared_ptr<StateHolder>> made =
        shares ? sharing.states->find_or_make({sharing.program, call.blob.content_id},
                                              description.states, make)
               : make();
    if (!made.ok()) return made.status().annotate("the model's states cannot be set up", name);
    states = *std::move(made);
  }
  if (merged.warm_up.value_or(false)) {
    // Not a reason to refuse the method: zeros may be no input that the model was made for.
    const Status warm = warm_up(*model, *initial);
    if (!warm.ok()) {
      COREML_DELEGATE_LOG_STATUS(kWarning, warm.annotate("the warm-up execution failed", name));
    }
  }
  return std::unique_ptr<DelegateInstance>(new DelegateInstance(
      method_name, name, std::move(model), std::move(states), *std::move(plan)));
}

Status DelegateInstance::execute(executorch::runtime::Span<executorch::runtime::EValue*> args,
                                 executorch::runtime::EventTracer* tracer) {
  const MutexLock lock(mutex_);
  const Status status = execute_locked(args, tracer);
  if (status.ok()) return status;
  return status.annotate("the execution failed", name_);
}

Status DelegateInstance::execute_locked(
    executorch::runtime::Span<executorch::runtime::EValue*> args,
    executorch::runtime::EventTracer* tracer) {
  EventBridge events(tracer);
  const uint64_t start = tracer ? now_ns() : 0;
  COREML_DELEGATE_RETURN_IF_ERROR(binding_.bind(args));
  if (tracer && binding_.converts_inputs()) report("convert inputs", start, events);
  if (!states_) return run(nullptr, tracer, events);
  const MutexLock lock(states_->mutex);
  return run(&states_->state, tracer, events);
}

Status DelegateInstance::run(std::unique_ptr<engine::State>* state,
                             executorch::runtime::EventTracer* tracer, EventBridge& events) {
  // What may still fail after the model has updated its states must be able to take that back.
  std::unique_ptr<engine::State> before;
  if (state && binding_.finish_can_fail()) {
    Result<std::unique_ptr<engine::State>> copy = (*state)->copy();
    if (!copy.ok()) {
      binding_.abandon();
      return copy.status().annotate("the states could not be copied before the execution");
    }
    before = *std::move(copy);
  }
  const Status executed =
      model_->execute(binding_.inputs(), binding_.outputs(),
                      {.state = state ? state->get() : nullptr, .events = events.sink()});
  if (!executed.ok()) {
    binding_.abandon();
    return executed;
  }
  const uint64_t start = tracer ? now_ns() : 0;
  const Status finished = binding_.finish();
  if (!finished.ok()) {
    if (before) *state = std::move(before);
    return finished;
  }
  if (tracer && binding_.converts_outputs()) report("convert outputs", start, events);
  return Status();
}

Status DelegateInstance::reset_states() {
  const MutexLock lock(mutex_);
  if (!states_) return Status();
  const MutexLock states_lock(states_->mutex);
  const Status status = states_->state->reset();
  return status.ok() ? status : status.annotate("the states could not be reset", name_);
}

}  // namespace coreml_delegate
