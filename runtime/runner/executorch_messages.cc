#include "runtime/runner/executorch_messages.h"

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdio>

#include "base/mutex.h"

namespace coreml_delegate::runner {
namespace {

struct Messages {
  Mutex mutex;
  bool is_verbose COREML_DELEGATE_GUARDED_BY(mutex) = false;
  std::string first_error COREML_DELEGATE_GUARDED_BY(mutex);
};

Messages& messages() {
  static auto* const messages = new Messages;
  return *messages;
}

void take(et_timestamp_t, et_pal_log_level_t level, const char* filename, const char*, size_t line,
          const char* message, size_t) {
  Messages& all = messages();
  const MutexLock lock(all.mutex);
  if (all.is_verbose) {
    std::fprintf(stderr, "%c %s:%zu] %s\n", static_cast<char>(level), filename, line, message);
  }
  if ((level == kError || level == kFatal) && all.first_error.empty()) all.first_error = message;
}

}  // namespace

void listen_to_executorch(bool is_verbose) {
  {
    Messages& all = messages();
    const MutexLock lock(all.mutex);
    all.is_verbose = is_verbose;
  }
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(take, __FILE__));
  executorch::runtime::runtime_init();
}

std::string first_error_message() {
  Messages& all = messages();
  const MutexLock lock(all.mutex);
  return all.first_error;
}

}  // namespace coreml_delegate::runner
