#include "runtime/delegate/coreml_backend.h"

#include <utility>
#include <vector>

#include "blob/blob.h"
#include "runtime/delegate/edge.h"
#include "runtime/delegate/error_map.h"
#include "runtime/delegate/program_memory.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

using executorch::runtime::ArrayRef;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::BackendOption;
using executorch::runtime::BackendOptionContext;
using executorch::runtime::CompileSpec;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Span;

CoreMLBackend::CoreMLBackend(std::unique_ptr<CompiledModelProvider> provider,
                             std::function<DelegateOptions()> app_options)
    : provider_(std::move(provider)), app_options_(std::move(app_options)) {}

CoreMLBackend::~CoreMLBackend() = default;

bool CoreMLBackend::is_available() const {
  return at_the_edge(
      "list the engines", [] { return !engine::engine_names().empty(); }, false);
}

Result<std::unique_ptr<DelegateInstance>> CoreMLBackend::create(
    BackendInitContext& context, FreeableBuffer* processed,
    ArrayRef<CompileSpec> compile_specs) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const DelegateOptions at_load,
                                   parse_load_options(context.runtime_specs()));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const DelegateOptions in_program,
                                   parse_compile_specs(compile_specs));
  const DelegateOptions options = at_load.or_else(defaults()).or_else(in_program);

  COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes bytes, take_buffer(processed));
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      const blob::DelegateCall call,
      blob::open_delegate_call(bytes, {.verify_checksums = false,
                                       .named_data = make_named_data_lookup(
                                           context.get_named_data_map(), named_data_)}));
  const char* method_name = context.get_method_name();
  return DelegateInstance::create(
      call, method_name ? method_name : "", options, *provider_, context.event_tracer(),
      {.states = &shared_states_, .program = context.get_named_data_map()});
}

executorch::runtime::Result<DelegateHandle*> CoreMLBackend::init(
    BackendInitContext& context, FreeableBuffer* processed,
    ArrayRef<CompileSpec> compile_specs) const {
  using Handle = executorch::runtime::Result<DelegateHandle*>;
  return at_the_edge("load a Core ML delegate call", [&]() -> Handle {
    Result<std::unique_ptr<DelegateInstance>> instance = create(context, processed, compile_specs);
    if (!instance.ok()) {
      const char* method_name = context.get_method_name();
      return report(instance.status().annotate("a Core ML delegate call could not be loaded",
                                               method_name ? method_name : ""));
    }
    const std::shared_ptr<DelegateInstance> shared = *std::move(instance);
    const MutexLock lock(mutex_);
    instances_[shared.get()] = shared;
    return static_cast<DelegateHandle*>(shared.get());
  });
}

Error CoreMLBackend::execute(BackendExecutionContext& context, DelegateHandle* handle,
                             Span<EValue*> args) const {
  return at_the_edge("execute a Core ML delegate call", [&] {
    if (handle == nullptr) {
      return report(
          failed_precondition("execute() was called without a handle that init() returned"));
    }
    return report(static_cast<DelegateInstance*>(handle)->execute(args, context.event_tracer()));
  });
}

void CoreMLBackend::destroy(DelegateHandle* handle) const {
  const auto take = [&] {
    const MutexLock lock(mutex_);
    const auto found = instances_.find(handle);
    if (found == instances_.end()) return std::shared_ptr<DelegateInstance>();
    std::shared_ptr<DelegateInstance> last = std::move(found->second);
    instances_.erase(found);
    return last;
  };
  // Destroyed after the lock is released: an engine may take its time.
  const std::shared_ptr<DelegateInstance> last =
      at_the_edge("let a Core ML delegate call go", take, std::shared_ptr<DelegateInstance>());
}

Error CoreMLBackend::set_option(BackendOptionContext& context, const Span<BackendOption>& options) {
  (void)context;
  return at_the_edge("set options", [&] {
    std::optional<std::string> to_reset;
    {
      const MutexLock lock(mutex_);
      Result<OptionUpdate> update = parse_option_update(defaults_, options);
      if (!update.ok()) return report(update.status().annotate("set_option() changed nothing"));
      if (update->options.engine) {
        const Result<engine::Engine*> engine = engine::find_engine(*update->options.engine);
        if (!engine.ok())
          return report(engine.status().annotate("set_option() changed nothing", "engine"));
      }
      defaults_ = update->options;
      to_reset = update->reset_states;
    }
    return to_reset ? report(reset_states(*to_reset)) : Error::Ok;
  });
}

Error CoreMLBackend::get_option(BackendOptionContext& context, Span<BackendOption>& options) {
  (void)context;
  return at_the_edge("read options", [&] {
    const DelegateOptions present = defaults();
    for (BackendOption& option : options) {
      const Status status = read_option(present, option);
      if (!status.ok()) return report(status);
    }
    return Error::Ok;
  });
}

DelegateOptions CoreMLBackend::defaults() const {
  const DelegateOptions of_app = app_options_ ? app_options_() : DelegateOptions();
  const MutexLock lock(mutex_);
  return defaults_.or_else(of_app);
}

Status CoreMLBackend::reset_states(const std::string& method_name) const {
  std::vector<std::shared_ptr<DelegateInstance>> chosen;
  {
    const MutexLock lock(mutex_);
    for (const auto& [handle, instance] : instances_) {
      if (method_name.empty() || instance->method_name() == method_name) chosen.push_back(instance);
    }
  }
  if (chosen.empty() && !method_name.empty()) {
    return not_found("no loaded method with this name has a Core ML delegate call", method_name);
  }
  for (const std::shared_ptr<DelegateInstance>& instance : chosen) {
    COREML_DELEGATE_RETURN_IF_ERROR(instance->reset_states());
  }
  return Status();
}

}  // namespace coreml_delegate
