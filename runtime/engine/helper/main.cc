// Compiles one function of a model package into a folder, in a process that may die of it:
// compile_helper.h. It answers on standard output (answer.h), and exits with 0 whenever it could.
//
//   coreml_compile_helper --engine=portable --package=model.mlpackage --output=folder
//     --request=TEXT --load-request=TEXT
//
// The texts are those of the caller's CompileRequest, so that both mean the same by it.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/helper/answer.h"
#include "runtime/engine/helper/helper_command.h"
#include "runtime/engine/helper/limits.h"

namespace coreml_delegate::engine::helper {
namespace {

// Where the answer goes.
int answer_descriptor = STDOUT_FILENO;
// What is said when there is no memory to say anything else.
const std::string* out_of_memory = nullptr;

// Ends the process: no library gets the chance to crash or hang in its destructors.
[[noreturn]] void finish(std::string_view answer) {
  // Another thread may run out of memory while this one answers: the first has the word.
  static std::atomic_flag is_answering;
  while (is_answering.test_and_set()) ::pause();
  while (!answer.empty()) {
    const ssize_t written = ::write(answer_descriptor, answer.data(), answer.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ::_exit(1);  // The caller is gone.
    answer.remove_prefix(static_cast<size_t>(written));
  }
  ::_exit(0);
}

// Keeps standard output for the answer: whatever a library prints goes to standard error.
void take_standard_output() {
  if (::fcntl(STDERR_FILENO, F_GETFD) < 0) {
    // The next free number; which one does not matter as long as 2 is taken.
    while (true) {
      const int opened = ::open("/dev/null", O_WRONLY);
      if (opened < 0 || opened >= STDERR_FILENO) break;
    }
  }
  const int copy = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (copy < 0) return;
  answer_descriptor = copy;
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
}

Result<std::string> compile(const HelperCommand& command) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(Engine* const engine, find_engine(command.engine));
  FileSystem& files = real_file_system();
  COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem package,
                                   inmemoryfs::read_folder(files, command.package));
  const CompileRequest request{
      .text = command.request, .load_text = command.load_request, .attributes = {}};
  const Status compiled =
      engine->compile({ModelKind::kPackage, &package, command.name}, command.output, request, {});
  if (compiled.code() == StatusCode::kFailedPrecondition) {
    return compiled.annotate(
        "the compile helper belongs to another build than its caller; build both from the same "
        "sources",
        command.name);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(compiled);
  Result<std::unique_ptr<Model>> model = engine->load(command.output, request, {});
  if (!model.ok()) return model.status();
  return (*model)->description().name;
}

[[noreturn]] void run(const std::vector<std::string>& arguments) {
  take_standard_output();
  out_of_memory = new std::string(
      to_json({.status = resource_exhausted("the compiler ran out of memory on this model"),
               .function = {}}));
  std::set_new_handler([] { finish(*out_of_memory); });
  const Result<HelperCommand> command = parse_arguments(arguments);
  if (!command.ok()) finish(to_json({.status = command.status(), .function = {}}));
  limit_this_process(command->timeout_seconds, command->memory_limit_bytes, command->parent);
  const Result<std::string> function = compile(*command);
  finish(to_json(function.ok() ? Answer{.status = {}, .function = *function}
                               : Answer{.status = function.status(), .function = {}}));
}

}  // namespace
}  // namespace coreml_delegate::engine::helper

int main(int count, char** arguments) {
  coreml_delegate::engine::helper::run({arguments + 1, arguments + count});
}
