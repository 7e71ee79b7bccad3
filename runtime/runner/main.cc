// coreml_runner: ExecuTorch's runner with the Core ML delegate. --help says how it is called.

#include <cstdio>
#include <string>
#include <vector>

#include "runtime/runner/command_line.h"
#include "runtime/runner/runner.h"

int main(int argc, char** argv) {
  using namespace coreml_delegate;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const Result<runner::CommandLine> line = runner::parse_command_line(arguments);
  if (!line.ok()) {
    std::fprintf(stderr, "coreml_runner: %s\n", line.status().to_string().c_str());
    return 2;
  }
  if (line->wants_help) {
    std::fputs(runner::help_text(), stdout);
    return 0;
  }
  const Result<runner::RunReport> report = runner::run(*line, real_file_system());
  if (!report.ok()) {
    std::fprintf(stderr, "coreml_runner: %s\n", report.status().to_string().c_str());
    return 1;
  }
  const std::string text = line->as_json ? runner::to_json(*report) : runner::to_text(*report);
  std::fputs(text.c_str(), stdout);
  return 0;
}
