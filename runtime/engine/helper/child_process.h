#ifndef COREML_DELEGATE_RUNTIME_ENGINE_HELPER_CHILD_PROCESS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_HELPER_CHILD_PROCESS_H_

// Runs a program that may crash, hang or write without end, and reads its standard output.
//
// Nothing of it is left when run_child() returns: the program and whatever it started in its
// process group are gone, and no zombie stays. The program has /dev/null as standard input, this
// process's standard error, and none of its other open files. It is started by posix_spawn, so that
// other threads may hold any lock meanwhile.
//
// Thread rule: may be called from several threads at once.

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace coreml_delegate::engine::helper {

struct ChildLimits {
  std::chrono::milliseconds timeout{0};
  size_t longest_output = 0;           // Bytes.
  std::function<bool()> is_cancelled;  // Asked every few milliseconds; may be empty.
};

enum class ChildEnd {
  kExited,         // By itself, with the exit code `code`.
  kSignalled,      // Killed by the signal `code`, which run_child() did not send.
  kTimedOut,       // Killed here, as in the next two.
  kCancelled,      //
  kTooMuchOutput,  //
  kUnknown,        // Somebody else in this process waited for it, or ignores SIGCHLD.
};

struct ChildOutcome {
  ChildEnd end = ChildEnd::kUnknown;
  int code = 0;
  std::string output;  // Not longer than allowed.
};

// `command`: the program's path and its arguments. A failure means that it could not be started:
// not_found for a program that is not there, invalid_argument for one that cannot be executed,
// resource_exhausted, io_error.
Result<ChildOutcome> run_child(const std::vector<std::string>& command, const ChildLimits& limits);

// "SIGSEGV" and so on.
std::string signal_name(int signal);

}  // namespace coreml_delegate::engine::helper

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_HELPER_CHILD_PROCESS_H_
