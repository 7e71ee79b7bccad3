#include "base/logging.h"
#include "runtime/engine/coreml/core_ml_engine.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

namespace {

// Making the engine allocates an object; Core ML is called at its first use.
[[maybe_unused]] const bool registered = [] {
  const Status status = register_engine(make_core_ml_engine());
  if (!status.ok()) COREML_DELEGATE_LOG_STATUS(kError, status);
  return status.ok();
}();

}  // namespace

}  // namespace coreml_delegate::engine::coreml
