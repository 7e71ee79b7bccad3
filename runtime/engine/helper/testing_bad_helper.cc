// A compile helper that misbehaves as the name of the function asks for. For tests.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/engine/helper/answer.h"
#include "runtime/engine/helper/helper_command.h"
#include "runtime/engine/helper/limits.h"

namespace coreml_delegate::engine::helper {
namespace {

void say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

[[noreturn]] void die_of(int signal) {
  // A sanitizer has handlers of its own.
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  std::abort();
}

// Takes memory until the system gives no more. Afterwards there is a little again, to answer with.
void allocate_without_end() {
  constexpr size_t kSize = size_t{16} << 20;
  for (void* last = nullptr;;) {
    void* const memory =
        ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      ::munmap(last, kSize);
      return;
    }
    last = memory;
    for (size_t i = 0; i < kSize; i += 4096) static_cast<volatile char*>(memory)[i] = 1;
  }
}

int misbehave(const HelperCommand& command) {
  const auto request = nlohmann::json::parse(command.request, nullptr, /*allow_exceptions=*/false);
  const std::string how = request.is_object() ? request.value("function", "") : "";
  limit_this_process(command.timeout_seconds, command.memory_limit_bytes, command.parent);
  if (how == "segfault") die_of(SIGSEGV);
  if (how == "abort") die_of(SIGABRT);
  if (how == "killed") die_of(SIGKILL);
  if (how == "alarm") die_of(SIGALRM);
  if (how == "hang") {
    for (;;) ::pause();
  }
  if (how == "close_and_hang") {
    std::fclose(stdout);
    for (;;) ::pause();
  }
  if (how == "say_nothing") return 0;
  if (how == "exit_7") return 7;
  if (how == "garbage") say("{\"format\":\"something else\"}\n");
  if (how == "half_an_answer") say(to_json({.status = {}, .function = "main"}).substr(0, 40));
  if (how == "long_answer") say(std::string(size_t{1} << 20, 'x'));
  if (how == "allocate") {
    allocate_without_end();
    say(to_json({.status = resource_exhausted("no memory is left"), .function = {}}));
  }
  if (how == "answer_and_crash") {
    say(to_json({.status = {}, .function = "main"}));
    die_of(SIGSEGV);
  }
  if (how == "leave_a_process") {
    // Keeps the output open.
    const pid_t process = ::fork();
    if (process == 0) {
      for (;;) ::pause();
    }
    std::ofstream(command.output + "/process") << process;
    say(to_json({.status = unsupported("a process was left"), .function = {}}));
  }
  if (how == "count_files") {
    int open = 0;
    for (int descriptor = 0; descriptor < 1024; ++descriptor) {
      if (::fcntl(descriptor, F_GETFD) >= 0) ++open;
    }
    say(to_json({.status = unsupported(std::to_string(open) + " open files"), .function = {}}));
  }
  if (how == "only_lies") say(to_json({.status = {}, .function = "main"}));
  return 0;
}

}  // namespace
}  // namespace coreml_delegate::engine::helper

int main(int count, char** arguments) {
  using namespace coreml_delegate::engine::helper;
  const auto command = parse_arguments({arguments + 1, arguments + count});
  return command.ok() ? misbehave(*command) : 99;
}
