// What runtime/include/coreml_backend/delegate.h declares.

#include <executorch/runtime/platform/log.h>

#include <cinttypes>
#include <set>

#include "base/mutex.h"
#include "runtime/delegate/edge.h"
#include "runtime/delegate/options.h"
#include "runtime/delegate/registration.h"
#include "runtime/engine/platform_engine.h"
#include "runtime/include/coreml_backend/delegate.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_cache.h"

namespace executorch {
namespace backends {
namespace coreml {
namespace {

using ::coreml_delegate::Mutex;
using ::coreml_delegate::MutexLock;
using ::coreml_delegate::process_backend;
using ::executorch::runtime::ArrayRef;
using ::executorch::runtime::BackendExecutionContext;
using ::executorch::runtime::BackendInitContext;
using ::executorch::runtime::BackendInterface;
using ::executorch::runtime::BackendOption;
using ::executorch::runtime::BackendOptionContext;
using ::executorch::runtime::CompileSpec;
using ::executorch::runtime::DelegateHandle;
using ::executorch::runtime::Error;
using ::executorch::runtime::EValue;
using ::executorch::runtime::FreeableBuffer;
using ::executorch::runtime::Span;

constexpr char kBackendName[] = "CoreMLBackend";

// The delegates that an app made itself, one of which it may have registered.
struct Delegates {
  Mutex mutex;
  std::set<const BackendInterface*> all COREML_DELEGATE_GUARDED_BY(mutex);
};

// Never destroyed: an app's delegate may be a static object.
Delegates& delegates() {
  static Delegates* const instance = new Delegates;
  return *instance;
}

}  // namespace

CoreMLBackendDelegate::CoreMLBackendDelegate() noexcept {
  ::coreml_delegate::at_the_edge(
      "make a delegate",
      [&] {
        // Its failure is logged.
        (void)::coreml_delegate::engine::register_platform_engine();
        Delegates& instance = delegates();
        const MutexLock lock(instance.mutex);
        instance.all.insert(this);
        return true;
      },
      false);
}

CoreMLBackendDelegate::~CoreMLBackendDelegate() {
  Delegates& instance = delegates();
  const MutexLock lock(instance.mutex);
  instance.all.erase(this);
}

::executorch::runtime::Result<DelegateHandle*> CoreMLBackendDelegate::init(
    BackendInitContext& context, FreeableBuffer* processed,
    ArrayRef<CompileSpec> compile_specs) const {
  return process_backend().init(context, processed, compile_specs);
}

Error CoreMLBackendDelegate::execute(BackendExecutionContext& context, DelegateHandle* handle,
                                     Span<EValue*> args) const {
  return process_backend().execute(context, handle, args);
}

bool CoreMLBackendDelegate::is_available() const { return process_backend().is_available(); }

void CoreMLBackendDelegate::destroy(DelegateHandle* handle) const {
  process_backend().destroy(handle);
}

Error CoreMLBackendDelegate::set_option(BackendOptionContext& context,
                                        const Span<BackendOption>& options) {
  return process_backend().set_option(context, options);
}

Error CoreMLBackendDelegate::get_option(BackendOptionContext& context,
                                        Span<BackendOption>& options) {
  return process_backend().get_option(context, options);
}

CoreMLBackendDelegate* CoreMLBackendDelegate::get_registered_delegate() noexcept {
  return ::coreml_delegate::at_the_edge(
      "look up the registered delegate",
      []() -> CoreMLBackendDelegate* {
        BackendInterface* const registered = ::executorch::runtime::get_backend_class(kBackendName);
        if (registered == nullptr) return nullptr;
        if (registered == &process_backend()) {
          // Never destroyed, as the backend itself.
          // at_the_edge answers for what it throws.
          // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
          static CoreMLBackendDelegate* const face = new CoreMLBackendDelegate;
          return face;
        }
        Delegates& instance = delegates();
        const MutexLock lock(instance.mutex);
        return instance.all.contains(registered) ? static_cast<CoreMLBackendDelegate*>(registered)
                                                 : nullptr;
      },
      static_cast<CoreMLBackendDelegate*>(nullptr));
}

bool CoreMLBackendDelegate::purge_models_cache() const noexcept {
  return ::coreml_delegate::at_the_edge(
      "purge the cache",
      [] {
        // No folder, nothing kept.
        const auto folder = ::coreml_delegate::cache_folder(process_backend().defaults());
        if (folder.ok() && folder->empty()) return true;
        return ::coreml_delegate::cache_purge().ok();
      },
      false);
}

}  // namespace coreml
}  // namespace backends

namespace core_ml_backend_delegate {

void register_backend_coreml() {
  const ::executorch::runtime::Error error = ::coreml_delegate::register_backend();
  if (error != ::executorch::runtime::Error::Ok) {
    ET_LOG(Error, "The Core ML delegate could not be registered: 0x%" PRIx32,
           static_cast<uint32_t>(error));
  }
}

}  // namespace core_ml_backend_delegate
}  // namespace executorch
