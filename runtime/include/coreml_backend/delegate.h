#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_DELEGATE_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_DELEGATE_H_

// The C++ functions and classes of the stock delegate under the same names, so that the sources of
// an app compile unchanged. New programs use coreml_delegate.h and coreml_delegate_cache.h, which
// offer more and return the reasons of failures.
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

// Every object of this class passes its calls on to the one backend of the process, so it does not
// matter which of them is registered.
//
// Thread rule: every function may be called from several threads at once, but not while another
// thread registers a backend.
class CoreMLBackendDelegate final : public ::executorch::runtime::BackendInterface {
 public:
  // Registers the platform's engine. It does not register the object with ExecuTorch.
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

  // Returns the registered delegate, or null if no CoreMLBackend is registered or if it is one of
  // another library.
  static CoreMLBackendDelegate* get_registered_delegate() noexcept;

  // Removes the compiled models that are kept in the process's cache folder and that nobody uses.
  // Returns true if that succeeded, also if no models were kept. After false,
  // coreml_delegate::last_error() says why.
  bool purge_models_cache() const noexcept;
};

}  // namespace coreml
}  // namespace backends

namespace core_ml_backend_delegate {

// Registers the delegate and the platform's engine with ExecuTorch, unless that has been done. It is
// for apps that register by hand. A failure is logged.
void register_backend_coreml();

}  // namespace core_ml_backend_delegate
}  // namespace executorch

namespace torch {
namespace executor {

// The name that apps for ExecuTorch before 0.5 use.
using ::executorch::backends::coreml::CoreMLBackendDelegate;

}  // namespace executor
}  // namespace torch

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_DELEGATE_H_
