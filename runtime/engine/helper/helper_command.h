#ifndef COREML_DELEGATE_RUNTIME_ENGINE_HELPER_HELPER_COMMAND_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_HELPER_HELPER_COMMAND_H_

// What a compile helper is asked to do, as its command line. Thread rule: pure functions.

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace coreml_delegate::engine::helper {

struct HelperCommand {
  std::string engine;   // Its name.
  std::string request;  // CompileRequest::text and load_text: the engine's to understand.
  std::string load_request;
  std::string package;             // Path of the .mlpackage.
  std::string name;                // Of the model, for messages.
  std::string output;              // Path of the empty folder to compile into.
  int32_t timeout_seconds = 0;     // After which the helper ends by itself; 0: never.
  int64_t memory_limit_bytes = 0;  // 0: none.
  int32_t parent = 0;              // The process that waits for the answer; 0: any.
};

// --engine=portable --package=... and so on.
std::vector<std::string> to_arguments(const HelperCommand& command);
// invalid_argument names the argument.
Result<HelperCommand> parse_arguments(const std::vector<std::string>& arguments);

}  // namespace coreml_delegate::engine::helper

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_HELPER_HELPER_COMMAND_H_
