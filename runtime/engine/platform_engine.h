#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PLATFORM_ENGINE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PLATFORM_ENGINE_H_

#include <cstdint>
#include <optional>

#include "base/status.h"

namespace coreml_delegate::engine {

// Registers the platform's engine unless it is registered; may be called from several threads at
// once. The delegate calls it, so that a program needs no static initialiser of the engine's. It is
// declared here and defined by the program's //runtime:platform_engine, as only that knows the
// engines.
Status register_platform_engine();

// What the app asks by a file of its own, where the platform has such files: on Apple's systems the
// stock delegate's property list com.apple.executorchcoreml_config.plist in the app's bundle.
struct AppSettings {
  std::optional<bool> warm_up;
  // That all kept models may take together.
  std::optional<uint64_t> cache_bytes;
};

// Reads it. Defined beside register_platform_engine(). A failure's message is for the log: an app is
// not to fail for it.
Result<AppSettings> app_settings();

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PLATFORM_ENGINE_H_
