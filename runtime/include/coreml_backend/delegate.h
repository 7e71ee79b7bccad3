#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_DELEGATE_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_DELEGATE_H_

// The stock delegate's C++ surface, by its names, so that an app's sources compile unchanged.
// runtime/include/coreml_delegate.h and coreml_delegate_cache.h say more and return reasons; a new
// program uses them.
//
//   #include <coreml_backend/delegate.h>
//
//   using executorch::backends::coreml::CoreMLBackendDelegate;
//   if (auto* delegate = CoreMLBackendDelegate::get_registered_delegate()) {
//     delegate->purge_models_cache();
//   }

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/core/error.h>
#include <executorch/runtime/core/evalue.h>

namespace executorch {
namespace backends {
namespace coreml {

// A face of the process's one backend: every object hands on to it, so it does not matter which of
// them is registered.
//
// Thread rule: everything may be called from several threads at once, except that nothing may
// register backends meanwhile.
class CoreMLBackendDelegate final : public ::executorch::runtime::BackendInterface {
 public:
  // Registers the platform's engine, but not the object with ExecuTorch.
  CoreMLBackendDelegate() noexcept;
  ~CoreMLBackendDelegate() override;

  ::executorch::runtime::Result<::executorch::runtime::DelegateHandle*> init(
      ::executorch::runtime::BackendInitContext& context,
      ::executorch::runtime::FreeableBuffer* processed,
      ::executorch::runtime::ArrayRef<::executorch::runtime::CompileSpec> compile_specs)
      const override;

  ::executorch::runtime::Error execute(
      ::executorch::runtime::BackendExecutionContext& context,
      ::executorch::runtime::DelegateHandle* handle,
      ::executorch::runtime::Span<::executorch::runtime::EValue*> args) const override;

  bool is_available() const override;

  void destroy(::executorch::runtime::DelegateHandle* handle) const override;

  ::executorch::runtime::Error set_option(
      ::executorch::runtime::BackendOptionContext& context,
      const ::executorch::runtime::Span<::executorch::runtime::BackendOption>& options) override;

  ::executorch::runtime::Error get_option(
      ::executorch::runtime::BackendOptionContext& context,
      ::executorch::runtime::Span<::executorch::runtime::BackendOption>& options) override;

  // The registered delegate; null when no CoreMLBackend is registered, or one of another library.
  static CoreMLBackendDelegate* get_registered_delegate() noexcept;

  // Removes the compiled models that are kept in the process's cache folder and that nobody uses;
  // true as well when none are kept. False when that failed: coreml_delegate::last_error() says
  // why.
  bool purge_models_cache() const noexcept;
};

}  // namespace coreml
}  // namespace backends

namespace core_ml_backend_delegate {

// Registers the delegate and the platform's engine with ExecuTorch unless that has been done. For
// apps that register when they need it; a failure is logged.
void register_backend_coreml();

}  // namespace core_ml_backend_delegate
}  // namespace executorch

namespace torch {
namespace executor {

// As apps for ExecuTorch before 0.5 spell it.
using ::executorch::backends::coreml::CoreMLBackendDelegate;

}  // namespace executor
}  // namespace torch

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_DELEGATE_H_
