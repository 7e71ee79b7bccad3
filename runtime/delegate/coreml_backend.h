#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_COREML_BACKEND_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_COREML_BACKEND_H_

// ExecuTorch's backend "CoreMLBackend".
//
// Thread rule: every member may be called from several threads at once, for different handles
// without waiting for each other. Executions of one handle happen one after the other: a second
// thread waits. destroy() of a handle must not overlap any other use of it.

#include <executorch/runtime/backend/interface.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "runtime/delegate/compiled_model_provider.h"
#include "runtime/delegate/delegate_instance.h"
#include "runtime/delegate/options.h"
#include "runtime/delegate/program_memory.h"
#include "runtime/delegate/shared_states.h"

namespace coreml_delegate {

inline constexpr char kBackendName[] = "CoreMLBackend";

class CoreMLBackend final : public executorch::runtime::BackendInterface {
 public:
  // Does no work beyond taking `provider` over. `app_options` says, when it is first asked, what
  // the app has asked for otherwise than by set_option().
  explicit CoreMLBackend(std::unique_ptr<CompiledModelProvider> provider,
                         std::function<DelegateOptions()> app_options = nullptr);
  ~CoreMLBackend() override;

  // Whether some engine is registered.
  bool is_available() const override;

  // Takes the processed bytes over from `processed` (they live as long as the engine uses them).
  // Every failure is logged in full and mapped by error_map.h.
  executorch::runtime::Result<executorch::runtime::DelegateHandle*> init(
      executorch::runtime::BackendInitContext& context,
      executorch::runtime::FreeableBuffer* processed,
      executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> compile_specs) const override;

  executorch::runtime::Error execute(
      executorch::runtime::BackendExecutionContext& context,
      executorch::runtime::DelegateHandle* handle,
      executorch::runtime::Span<executorch::runtime::EValue*> args) const override;

  void destroy(executorch::runtime::DelegateHandle* handle) const override;

  // options.h lists the options. All of them are checked before any takes effect. New defaults hold
  // for methods loaded afterwards.
  executorch::runtime::Error set_option(
      executorch::runtime::BackendOptionContext& context,
      const executorch::runtime::Span<executorch::runtime::BackendOption>& options) override;
  executorch::runtime::Error get_option(
      executorch::runtime::BackendOptionContext& context,
      executorch::runtime::Span<executorch::runtime::BackendOption>& options) override;

  // Resets the states of the loaded methods of this name (of all when empty), waiting for
  // executions under way. not_found when no such method is loaded.
  Status reset_states(const std::string& method_name) const;

  // What set_option() has set, and else the app.
  DelegateOptions defaults() const;

 private:
  Result<std::unique_ptr<DelegateInstance>> create(
      executorch::runtime::BackendInitContext& context,
      executorch::runtime::FreeableBuffer* processed,
      executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> compile_specs) const;

  const std::unique_ptr<CompiledModelProvider> provider_;
  const std::function<DelegateOptions()> app_options_;
  mutable SharedStates shared_states_;
  const std::shared_ptr<LoadedNamedData> named_data_ = std::make_shared<LoadedNamedData>();
  mutable Mutex mutex_;
  DelegateOptions defaults_ COREML_DELEGATE_GUARDED_BY(mutex_);
  // By handle. Shared with a reset under way, so that destroy() may overlap it.
  mutable std::map<const void*, std::shared_ptr<DelegateInstance>> instances_
      COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_COREML_BACKEND_H_
