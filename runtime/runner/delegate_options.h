#ifndef COREML_DELEGATE_RUNTIME_RUNNER_DELEGATE_OPTIONS_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_DELEGATE_OPTIONS_H_

#include <executorch/runtime/backend/interface.h>

#include <vector>

#include "base/status.h"
#include "runtime/runner/command_line.h"

namespace coreml_delegate::runner {

// The delegate's options of a command line as ExecuTorch takes them. invalid_argument for a string
// that ExecuTorch would cut. Thread rule: pure.
Result<std::vector<executorch::runtime::BackendOption>> delegate_options(const CommandLine& line);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_DELEGATE_OPTIONS_H_
