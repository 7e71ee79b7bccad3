#include "runtime/delegate/registration.h"

#include <executorch/runtime/backend/interface.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/logging.h"
#include "runtime/delegate/edge.h"
#include "runtime/delegate/error_map.h"
#include "runtime/delegate/executorch_log.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/platform_engine.h"
#include "runtime/include/coreml_delegate.h"

namespace coreml_delegate {

using executorch::runtime::Error;

namespace {

struct Process {
  InProcessModelProvider* provider;  // Owned by the backend.
  CoreMLBackend* backend;
};

// Reads the app's file once, when a method is first loaded or somebody asks.
DelegateOptions options_of_app() {
  static const DelegateOptions options = [] {
    DelegateOptions asked;
    const Result<engine::AppSettings> settings = engine::app_settings();
    if (!settings.ok()) {
      COREML_DELEGATE_LOG_STATUS(kWarning,
                                 settings.status().annotate("the app's settings are left out"));
      return asked;
    }
    asked.warm_up = settings->warm_up;
    if (settings->cache_bytes) {
      // At least one: zero stands for the default.
      constexpr uint64_t kMegabyte = 1'000'000;
      const uint64_t whole =
          *settings->cache_bytes / kMegabyte + (*settings->cache_bytes % kMegabyte != 0);
      asked.cache_budget_mb = static_cast<int32_t>(std::clamp<uint64_t>(whole, 1, INT32_MAX));
    }
    return asked;
  }();
  return options;
}

const Process& process() {
  static const Process process = [] {
    auto provider = std::make_unique<InProcessModelProvider>();
    InProcessModelProvider* const borrowed = provider.get();
    return Process{borrowed, new CoreMLBackend(std::move(provider), options_of_app)};
  }();
  return process;
}

}  // namespace

CoreMLBackend& process_backend() { return *process().backend; }

StoredModels& process_stored_models() { return process().provider->stored_models(); }

Error register_backend() {
  return at_the_edge("register the backend", [] {
    // Where ExecuTorch is, its log is where messages belong.
    set_log_sink(log_to_executorch);
    // A linker that takes from archives what something refers to takes the engine for this call. Its
    // failure is logged, and diagnose() tells that there is no engine; programs may bring another.
    (void)engine::register_platform_engine();
    CoreMLBackend& backend = process_backend();
    const auto* registered = executorch::runtime::get_backend_class(kBackendName);
    if (registered == &backend) return Error::Ok;
    if (registered != nullptr) return Error::RegistrationAlreadyRegistered;
    return executorch::runtime::register_backend({kBackendName, &backend});
  });
}

Diagnostics diagnose() {
  Diagnostics result;
  result.version = kVersion;
  for (size_t i = 0; i < executorch::runtime::get_num_registered_backends(); ++i) {
    const auto name = executorch::runtime::get_backend_name(i);
    if (name.ok()) result.registered_backends.emplace_back(name.get());
  }
  result.is_registered = executorch::runtime::get_backend_class(kBackendName) == &process_backend();
  for (const std::string& name : engine::engine_names()) {
    const Result<engine::Engine*> engine = engine::find_engine(name);
    if (engine.ok()) result.engines.push_back({name, (*engine)->fingerprint()});
  }
  const Result<engine::Engine*> preferred = engine::find_engine("");
  if (preferred.ok()) result.default_engine = (*preferred)->name();
  return result;
}

std::string Diagnostics::to_string() const {
  std::string text = "Core ML delegate " + version;
  text += is_registered ? ", registered as CoreMLBackend\n" : ", not registered\n";
  text += "backends:";
  for (const std::string& name : registered_backends) text += " " + name;
  text += registered_backends.empty() ? " none\n" : "\n";
  text += "default engine: " + (default_engine.empty() ? "none" : default_engine) + "\n";
  for (const EngineInfo& engine : engines)
    text += "engine " + engine.name + ": " + engine.fingerprint + "\n";
  if (engines.empty()) text += "no engine is linked in: models cannot be loaded\n";
  return text;
}

Error reset_states(const std::string& method_name) {
  return at_the_edge("reset the states",
                     [&] { return report(process_backend().reset_states(method_name)); });
}

std::string last_error() { return last_error_message(); }

}  // namespace coreml_delegate
