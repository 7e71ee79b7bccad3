#ifndef COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FACTS_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FACTS_H_

#include <executorch/runtime/core/evalue.h>

#include "runtime/runner/runner.h"

namespace coreml_delegate::runner {

// Type and extremes of an output. `file` stays empty. Thread rule: pure.
OutputFacts describe_output(const executorch::runtime::EValue& value);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FACTS_H_
