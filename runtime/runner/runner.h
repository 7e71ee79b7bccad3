#ifndef COREML_DELEGATE_RUNTIME_RUNNER_RUNNER_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_RUNNER_H_

// Loads and executes what a command line names.
//
// Thread rule: one at a time in a process; the options of the delegate and ExecuTorch's log are the
// process's.

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "runtime/runner/command_line.h"
#include "runtime/runner/elements.h"

namespace coreml_delegate::runner {

struct OutputFacts {
  std::string type;  // "float32[1, 1000]", or what a value that is no tensor is.
  // Of a tensor's finite elements; 0 where there are none.
  double min = 0;
  double max = 0;
  double mean = 0;
  int64_t not_finite = 0;
  std::vector<double> begins;  // Up to four elements.
  std::string file;            // Empty: not written.
};

struct RunReport {
  std::vector<std::string> inputs;  // Types.
  size_t made_up_inputs = 0;
  double load_ms = 0;
  std::vector<double> execution_ms;  // One for each timed execution.
  std::vector<OutputFacts> outputs;
  uint64_t etdump_bytes = 0;
  uint64_t debug_buffer_bytes = 0;
};

// A failure is one sentence about the artifact: the file, the method or the input. `outputs`: where
// the last outputs are copied to; may be null.
Result<RunReport> run(const CommandLine& line, FileSystem& files,
                      std::vector<Elements>* outputs = nullptr);

// For people, or one JSON value.
std::string to_text(const RunReport& report);
std::string to_json(const RunReport& report);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_RUNNER_H_
