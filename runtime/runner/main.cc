// coreml_runner: ExecuTorch's runner with the Core ML delegate. --help says how it is called.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "runtime/runner/command_line.h"
#include "runtime/runner/kit.h"
#include "runtime/runner/runner.h"

namespace {

using coreml_delegate::Result;
namespace runner = coreml_delegate::runner;

// What goes to standard output.
Result<std::string> run(const runner::CommandLine& line) {
  using coreml_delegate::real_file_system;
  const std::string& artifact = line.kit.empty() ? line.model : line.kit;
  try {
    if (!line.kit.empty()) return runner::answer_kit(line, real_file_system());
    COREML_DELEGATE_ASSIGN_OR_RETURN(const runner::RunReport report,
                                     runner::run(line, real_file_system()));
    return line.as_json ? runner::to_json(report) : runner::to_text(report);
  } catch (const std::bad_alloc&) {
    // A program may declare tensors of any size.
    return coreml_delegate::resource_exhausted("there is not enough memory", artifact);
  } catch (const std::exception& error) {
    return coreml_delegate::internal_error(error.what(), artifact);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const Result<runner::CommandLine> line = runner::parse_command_line(arguments);
  if (!line.ok()) {
    std::fprintf(stderr, "coreml_runner: %s\n", line.status().to_string().c_str());
    return 2;
  }
  if (line->wants_help) {
    std::fputs(runner::help_text().c_str(), stdout);
    return 0;
  }
  // A full standard output is told like any other failure, and so is a file that grows too large.
  std::signal(SIGXFSZ, SIG_IGN);
  const Result<std::string> text = run(*line);
  if (!text.ok()) {
    std::fprintf(stderr, "coreml_runner: %s\n", text.status().to_string().c_str());
    return 1;
  }
  if (std::fputs(text->c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    std::fprintf(stderr, "coreml_runner: the result could not be written to standard output: %s\n",
                 std::strerror(errno));
    return 1;
  }
  return 0;
}
