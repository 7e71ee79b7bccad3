#include "runtime/engine/portable/register.h"

#include "base/logging.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/portable/portable_engine.h"

namespace coreml_delegate::engine::portable {

Status register_once() {
  // Making the engine allocates an empty object; OpenVINO starts at its first use.
  static const Status status = [] {
    Status registered = register_engine(make_portable_engine(), DefaultRank::kAnywhere);
    if (!registered.ok()) COREML_DELEGATE_LOG_STATUS(kError, registered);
    return registered;
  }();
  return status;
}

namespace {

[[maybe_unused]] const bool registered = register_once().ok();

}  // namespace

}  // namespace coreml_delegate::engine::portable
