// All that makes an engine known: its library registers it when the program starts, and the program
// says that it is the platform's (as //runtime:platform_engine does).

#include <memory>

#include "base/status.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/fake/fake_engine.h"
#include "runtime/engine/platform_engine.h"

namespace coreml_delegate::engine {

Status register_platform_engine() {
  // An engine of its own name; how it computes is the fake engine's.
  static const Status status = register_engine(
      std::make_unique<FakeEngine>(FakeEngineOptions{.name = "third", .fingerprint = "third 1"}),
      DefaultRank::kAnywhere);
  return status;
}

Result<AppSettings> app_settings() { return AppSettings(); }

namespace {

[[maybe_unused]] const bool registered = register_platform_engine().ok();

}  // namespace
}  // namespace coreml_delegate::engine
