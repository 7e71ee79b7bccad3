#include "runtime/engine/coreml/register.h"

#include "base/logging.h"
#include "runtime/engine/coreml/core_ml_engine.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

Status register_once() {
  // Making the engine allocates an object; Core ML is called at its first use.
  static const Status status = [] {
    Status registered = register_engine(make_core_ml_engine(), DefaultRank::kOwnPlatform);
    if (!registered.ok()) COREML_DELEGATE_LOG_STATUS(kError, registered);
    return registered;
  }();
  return status;
}

namespace {

[[maybe_unused]] const bool registered = register_once().ok();

}  // namespace

}  // namespace coreml_delegate::engine::coreml
