#include "base/logging.h"

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <string>

namespace coreml_delegate {
namespace {

constexpr size_t kMaxMessageBytes = size_t{64} << 10;

// Constant-initialised: usable before and after every static object of other files.
constinit std::atomic<LogSink> g_sink{nullptr};
constinit std::atomic<LogLevel> g_level{LogLevel::kInfo};

void write_to_stderr(LogLevel level, const char* file, int line, std::string_view message) {
  std::string_view name(file);
  if (const size_t slash = name.rfind('/'); slash != std::string_view::npos) {
    name.remove_prefix(slash + 1);
  }
  // One call, so that messages of several threads do not mix.
  std::fprintf(stderr, "%c %.*s:%d] %.*s\n", log_level_letter(level), static_cast<int>(name.size()),
               name.data(), line, static_cast<int>(message.size()), message.data());
}

void send(LogLevel level, const char* file, int line, std::string_view message) {
  const LogSink sink = g_sink.load(std::memory_order_acquire);
  (sink != nullptr ? sink : write_to_stderr)(level, file, line,
                                             message.substr(0, kMaxMessageBytes));
}

}  // namespace

char log_level_letter(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 'D';
    case LogLevel::kInfo:
      return 'I';
    case LogLevel::kWarning:
      return 'W';
    case LogLevel::kError:
      return 'E';
  }
  return '?';
}

LogSink set_log_sink(LogSink sink) { return g_sink.exchange(sink, std::memory_order_acq_rel); }

LogLevel set_log_level(LogLevel level) {
  return g_level.exchange(level, std::memory_order_relaxed);
}

bool is_log_enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void log_message(LogLevel level, const char* file, int line, const char* format, ...) {
  if (!is_log_enabled(level)) return;
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  char small[512];
  const int length = std::vsnprintf(small, sizeof(small), format, arguments);
  va_end(arguments);
  if (length < 0) {
    send(level, file, line,
         format);  // An encoding error: the format itself says more than nothing.
  } else if (static_cast<size_t>(length) < sizeof(small)) {
    send(level, file, line, std::string_view(small, static_cast<size_t>(length)));
  } else {
    std::string large(std::min(static_cast<size_t>(length), kMaxMessageBytes), '\0');
    std::vsnprintf(large.data(), large.size() + 1, format, again);
    send(level, file, line, large);
  }
  va_end(again);
}

void log_status(LogLevel level, const char* file, int line, const Status& status) {
  if (status.ok() || !is_log_enabled(level)) return;
  send(level, file, line, status.to_string());
}

}  // namespace coreml_delegate
