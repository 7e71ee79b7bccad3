#include "runtime/engine/helper/limits.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace coreml_delegate::engine::helper {
namespace {

#ifdef __linux__
// What RLIMIT_DATA counts: private memory that can be written to.
int64_t data_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0;
  // size, resident, shared, text, lib, data.
  for (int field = 0; field < 6; ++field) file >> pages;
  return file ? pages * ::sysconf(_SC_PAGESIZE) : 0;
}
#endif

}  // namespace

void limit_this_process(int32_t timeout_seconds, int64_t memory_limit_bytes, int32_t parent) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (timeout_seconds > 0) ::alarm(static_cast<unsigned>(timeout_seconds));
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Whoever ended before that sends no signal any more.
  if (parent != 0 && ::getppid() != parent) ::_exit(1);
  std::ofstream("/proc/self/oom_score_adj") << "1000\n";
  if (memory_limit_bytes > 0) {
    // Not RLIMIT_AS, which counts mapped weights and libraries and what is only reserved.
    rlimit data{};
    ::getrlimit(RLIMIT_DATA, &data);
    const auto wanted = static_cast<rlim_t>(data_bytes()) + static_cast<rlim_t>(memory_limit_bytes);
    data.rlim_cur = std::min(data.rlim_max, wanted);
    data.rlim_max = data.rlim_cur;
    ::setrlimit(RLIMIT_DATA, &data);
  }
#else
  (void)memory_limit_bytes;
  if (parent != 0 && ::getppid() != parent) ::_exit(1);
#endif
}

}  // namespace coreml_delegate::engine::helper
