#ifndef COREML_DELEGATE_RUNTIME_RUNNER_EXECUTORCH_MESSAGES_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_EXECUTORCH_MESSAGES_H_

// ExecuTorch's log, to which the delegate's belongs: on standard error when it is wanted; else only
// the first error is kept, which is where a failure began.
//
// Thread rule: listen_to_executorch() before anything of ExecuTorch is called; the rest from any
// thread.

#include <string>

namespace coreml_delegate::runner {

void listen_to_executorch(bool is_verbose);

// "Missing operator: [0] aten::foo.out"; empty when nothing was logged as an error.
std::string first_error_message();

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_EXECUTORCH_MESSAGES_H_
