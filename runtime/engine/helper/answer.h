#ifndef COREML_DELEGATE_RUNTIME_ENGINE_HELPER_ANSWER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_HELPER_ANSWER_H_

// What the compile helper says when it is done: one line of JSON with the outcome, a failure's
// causes included.
//
//   {"format":"coreml compile helper 1","function":"main","failures":[]}
//   {"format":"coreml compile helper 1","function":"","failures":[
//     {"code":"unsupported","message":"...","artifact":"..."}, ...the cause of the one before...]}
//
// Thread rule: pure functions.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace coreml_delegate::engine::helper {

// Bytes of the longest answer.
inline constexpr size_t kLongestAnswer = 64 * 1024;

struct Answer {
  Status status;         // Of the compilation and the load that tried its result.
  std::string function;  // The name of the function that was compiled; empty on failure.
};

// Not longer than kLongestAnswer: where need be, texts are cut and the last causes left out.
std::string to_json(const Answer& answer);

// internal for what to_json() did not make.
Result<Answer> answer_from_json(std::string_view text);

}  // namespace coreml_delegate::engine::helper

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_HELPER_ANSWER_H_
