#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_EXECUTORCH_LOG_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_EXECUTORCH_LOG_H_

#include <string_view>

#include "base/logging.h"

namespace coreml_delegate {

// A sink for set_log_sink() that hands messages to ExecuTorch's platform layer, whole: ET_LOG would
// cut them at 256 bytes. Does nothing where ExecuTorch is built without logging.
void log_to_executorch(LogLevel level, const char* file, int line, std::string_view message);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_EXECUTORCH_LOG_H_
