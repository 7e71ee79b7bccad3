#ifndef COREML_DELEGATE_RUNTIME_RUNNER_BASE64_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_BASE64_H_

#include <string>

#include "base/bytes.h"

namespace coreml_delegate::runner {

// Bytes as text that JSON can hold (RFC 4648, with padding). Thread rule: pure.
std::string to_base64(ByteSpan bytes);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_BASE64_H_
