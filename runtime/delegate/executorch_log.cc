#include "runtime/delegate/executorch_log.h"

#include <executorch/runtime/platform/log.h>
#include <executorch/runtime/platform/platform.h>

#include <string>

namespace coreml_delegate {

void log_to_executorch(LogLevel level, const char* file, int line, std::string_view message) {
#if ET_LOG_ENABLED
  // ExecuTorch has no level for warnings; they are no errors.
  et_pal_log_level_t et_level = kError;
  std::string text;
  switch (level) {
    case LogLevel::kDebug:
      et_level = kDebug;
      break;
    case LogLevel::kInfo:
      et_level = kInfo;
      break;
    case LogLevel::kWarning:
      et_level = kInfo;
      text = "warning: ";
      break;
    case LogLevel::kError:
      break;
  }
  text += message;
  const std::string_view path(file);
  const size_t slash = path.rfind('/');
  executorch::runtime::pal_emit_log_message(
      executorch::runtime::internal::get_log_timestamp(), et_level,
      file + (slash == std::string_view::npos ? 0 : slash + 1), "", static_cast<size_t>(line),
      text.c_str(), text.size());
#else
  (void)level;
  (void)file;
  (void)line;
  (void)message;
#endif
}

}  // namespace coreml_delegate
