#ifndef COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FACTS_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FACTS_H_

#include <executorch/runtime/core/evalue.h>

#include "base/status.h"
#include "runtime/runner/runner.h"

namespace coreml_delegate::runner {

// Type and extremes of an output. `file` stays empty. Thread rule: pure.
OutputFacts describe_output(const executorch::runtime::EValue& value);

// The elements of output `index`: bfloat16 as the float32 of the same value, a number as a tensor
// without extents. unsupported for what is neither.
Result<Elements> copy_elements(const executorch::runtime::EValue& value, size_t index);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FACTS_H_
