#include "base/logging.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/portable/portable_engine.h"

namespace coreml_delegate::engine::portable {

namespace {

// Making the engine allocates an empty object; OpenVINO starts at its first use.
[[maybe_unused]] const bool registered = [] {
  const Status status = register_engine(make_portable_engine());
  if (!status.ok()) COREML_DELEGATE_LOG_STATUS(kError, status);
  return status.ok();
}();

}  // namespace

}  // namespace coreml_delegate::engine::portable
