#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_ERROR_MAP_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_ERROR_MAP_H_

// From a Status to what ExecuTorch can carry: an error code. The message, which says everything,
// goes to ExecuTorch's log and is kept for last_error_message(). docs/errors.md has the table.
//
// Thread rule: functions that may be called from several threads at once.

#include <executorch/runtime/core/error.h>

#include <string>

#include "base/status.h"

namespace coreml_delegate {

// The one error that stands for the code; Ok for kOk.
executorch::runtime::Error to_executorch_error(StatusCode code);

// Logs a failure (never success), remembers its message for this thread and returns its error.
executorch::runtime::Error report(const Status& status);

// What report() last logged on this thread; empty when nothing.
const std::string& last_error_message();

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_ERROR_MAP_H_
