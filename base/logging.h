#ifndef COREML_DELEGATE_BASE_LOGGING_H_
#define COREML_DELEGATE_BASE_LOGGING_H_

// Logging through one sink, which the delegate points at ExecuTorch's log; until then, standard
// error.
//
//   COREML_DELEGATE_LOG(kWarning, "no room for %s", path.c_str());
//
// Nothing is formatted for a level that is off.
//
// Thread rule: everything here may be called from several threads at once; a sink must bear that.

#include <string_view>

#include "base/status.h"

namespace coreml_delegate {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// "W" for kWarning.
char log_level_letter(LogLevel level);

// Takes one message, without a newline at its end; `file` and `message` live until it returns. It
// must not log.
using LogSink = void (*)(LogLevel level, const char* file, int line, std::string_view message);

// Sends what is logged from now on to `sink`; null means standard error. Returns the sink before,
// null for standard error.
LogSink set_log_sink(LogSink sink);

// Messages below `level` are dropped. kInfo at the start. Returns the level before.
LogLevel set_log_level(LogLevel level);
bool is_log_enabled(LogLevel level);

// printf's format. Messages are cut at 64 KiB.
__attribute__((format(printf, 4, 5))) void log_message(LogLevel level, const char* file, int line,
                                                       const char* format, ...);

// A failure with its artifact and causes; nothing for success.
void log_status(LogLevel level, const char* file, int line, const Status& status);

// `level` is an enumerator's name without its type.
#define COREML_DELEGATE_LOG(level, ...)                                                      \
  do {                                                                                       \
    if (::coreml_delegate::is_log_enabled(::coreml_delegate::LogLevel::level)) {             \
      ::coreml_delegate::log_message(::coreml_delegate::LogLevel::level, __FILE__, __LINE__, \
                                     __VA_ARGS__);                                           \
    }                                                                                        \
  } while (false)

#define COREML_DELEGATE_LOG_STATUS(level, status) \
  ::coreml_delegate::log_status(::coreml_delegate::LogLevel::level, __FILE__, __LINE__, (status))

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_LOGGING_H_
