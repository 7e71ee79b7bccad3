#include "runtime/engine/helper/child_process.h"

#if defined(__APPLE__)
#include <TargetConditionals.h>
#endif

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#if defined(__APPLE__) && (TARGET_OS_TV || TARGET_OS_WATCH)

namespace coreml_delegate::engine::helper {

// The headers of these systems refuse what starts a program.
Result<ChildOutcome> run_child(const std::vector<std::string>& command, const ChildLimits&) {
  return unsupported(
      "on tvOS and watchOS an app cannot start a program; compile models in this process",
      command.empty() ? "" : command[0]);
}

#else

extern "C" char** environ;

namespace coreml_delegate::engine::helper {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How often a cancellation, and the end of a program whose output somebody else holds open, is
// looked for.
constexpr milliseconds kPollInterval{20};

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return descriptor_; }
  void reset(int descriptor) {
    close();
    descriptor_ = descriptor;
  }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

 private:
  int descriptor_ = -1;
};

Status failure(int error, const std::string& what, const std::string& program) {
  const std::string message = what + ": " + std::strerror(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return not_found(message, program);
    case EACCES:
    case EISDIR:
    case ENOEXEC:
    case ELOOP:
      return invalid_argument(message, program);
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return resource_exhausted(message, program);
    default:
      return io_error(message, program);
  }
}

// Both ends are closed in every program that this process starts; reading never waits.
int make_pipe(Descriptor& read_end, Descriptor& write_end) {
  int ends[2];
#ifdef __APPLE__
  if (::pipe(ends) != 0) return errno;
  read_end.reset(ends[0]);
  write_end.reset(ends[1]);
  for (const int end : ends) {
    if (::fcntl(end, F_SETFD, FD_CLOEXEC) != 0) return errno;
  }
#else
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
  read_end.reset(ends[0]);
  write_end.reset(ends[1]);
#endif
  // Where this process has closed its standard files, a pipe may have got their numbers.
  if (write_end.get() <= STDERR_FILENO) {
    const int higher = ::fcntl(write_end.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (higher < 0) return errno;
    write_end.reset(higher);
  }
  return ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0 ? errno : 0;
}

class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  // An error number, or 0.
  int prepare(int standard_output) {
    if (const int error =
            posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) {
      return error;
    }
    if (const int error =
            posix_spawn_file_actions_adddup2(&actions_, standard_output, STDOUT_FILENO)) {
      return error;
    }
    // A group of its own, which can be killed as a whole; signals as in a new program, whatever
    // this process ignores or blocks.
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#if defined(__APPLE__)
    // Only what the actions above open; standard error must be named then.
    flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
    if (const int error = posix_spawn_file_actions_addinherit_np(&actions_, STDERR_FILENO)) {
      return error;
    }
#elif defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    // Libraries open files without O_CLOEXEC.
    if (const int error = posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1)) {
      return error;
    }
#endif
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    return posix_spawnattr_setflags(&attributes_, flags);
  }

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// A started program. Whatever becomes of it, end() or the destructor waits for it.
class Child {
 public:
  explicit Child(pid_t process) : process_(process) {}
  ~Child() { end(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Whether it has ended by itself, or another part of this process has taken it away.
  bool has_ended() {
    siginfo_t info{};
    // WNOWAIT: its number, which is also its group's, must not be given to another process yet.
    const int result =
        ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (result != 0 && errno == ECHILD) is_lost_ = true;
    return is_lost_ || (result == 0 && info.si_pid == process_);
  }

  // Kills its group and takes it away: its wait status, or -1 when that is lost.
  int end() {
    if (process_ <= 0) return -1;
    // Also where the program itself has been taken away: a group's number stays its own as long as
    // it has members, and is given out again only after all others where it has none.
    ::kill(-process_, SIGKILL);
    int status = -1;
    pid_t waited = is_lost_ ? -1 : 0;
    while (waited == 0 || (waited < 0 && !is_lost_ && errno == EINTR)) {
      waited = ::waitpid(process_, &status, 0);
    }
    process_ = 0;
    return waited > 0 ? status : -1;
  }

 private:
  pid_t process_;
  bool is_lost_ = false;
};

enum class Reading { kMore, kEnd, kTooMuch };

Reading read_available(int descriptor, size_t longest, std::string& output) {
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? Reading::kMore : Reading::kEnd;
    }
    if (count == 0) return Reading::kEnd;
    const size_t room = longest - output.size();
    output.append(buffer.data(), std::min(static_cast<size_t>(count), room));
    if (static_cast<size_t>(count) > room) return Reading::kTooMuch;
  }
}

// Reads until the program ends or must end.
ChildEnd attend(Child& child, int descriptor, const ChildLimits& limits, std::string& output) {
  const Clock::time_point deadline = Clock::now() + limits.timeout;
  milliseconds wait{0};
  pollfd watched{.fd = descriptor, .events = POLLIN, .revents = 0};
  for (;;) {
    // A poll() that fails is a wait that was cut short.
    ::poll(&watched, 1, static_cast<int>(wait.count()));
    wait = kPollInterval;
    // Before the last reading: what it wrote is in the pipe when it has ended.
    const bool has_ended = child.has_ended();
    if (watched.fd >= 0) {
      switch (read_available(watched.fd, limits.longest_output, output)) {
        case Reading::kTooMuch:
          return ChildEnd::kTooMuchOutput;
        case Reading::kEnd:
          watched.fd = -1;  // poll() then only waits.
          break;
        case Reading::kMore:
          break;
      }
    }
    if (has_ended) return ChildEnd::kExited;
    if (limits.is_cancelled && limits.is_cancelled()) return ChildEnd::kCancelled;
    if (Clock::now() >= deadline) return ChildEnd::kTimedOut;
    // Closing its output is the last thing that a program does.
    if (watched.fd < 0) wait = milliseconds(1);
  }
}

}  // namespace

Result<ChildOutcome> run_child(const std::vector<std::string>& command, const ChildLimits& limits) {
  if (command.empty() || command[0].empty())
    return not_found("the command does not name a program");
  const std::string& program = command[0];
  Descriptor read_end;
  Descriptor write_end;
  if (const int error = make_pipe(read_end, write_end)) {
    return failure(error, "a pipe to the program could not be made", program);
  }
  SpawnSettings settings;
  if (const int error = settings.prepare(write_end.get())) {
    return failure(error, "the program could not be prepared", program);
  }
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t process = 0;
  if (const int error = posix_spawn(&process, program.c_str(), settings.actions(),
                                    settings.attributes(), arguments.data(), environ)) {
    return failure(error, "the program could not be started", program);
  }
  Child child(process);
  // Else the end of the output would never come.
  write_end.close();

  ChildOutcome outcome;
  outcome.end = attend(child, read_end.get(), limits, outcome.output);
  const int status = child.end();
  if (outcome.end != ChildEnd::kExited) return outcome;
  if (status == -1) {
    outcome.end = ChildEnd::kUnknown;
  } else if (WIFSIGNALED(status)) {
    outcome.end = ChildEnd::kSignalled;
    outcome.code = WTERMSIG(status);
  } else {
    outcome.code = WEXITSTATUS(status);
  }
  return outcome;
}

#endif

std::string signal_name(int signal) {
  switch (signal) {
    case SIGABRT:
      return "SIGABRT";
    case SIGALRM:
      return "SIGALRM";
    case SIGBUS:
      return "SIGBUS";
    case SIGFPE:
      return "SIGFPE";
    case SIGILL:
      return "SIGILL";
    case SIGKILL:
      return "SIGKILL";
    case SIGSEGV:
      return "SIGSEGV";
    case SIGTERM:
      return "SIGTERM";
    case SIGTRAP:
      return "SIGTRAP";
    default:
      return "signal " + std::to_string(signal);
  }
}

}  // namespace coreml_delegate::engine::helper
