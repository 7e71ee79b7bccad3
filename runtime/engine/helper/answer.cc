#include "runtime/engine/helper/answer.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/json_members.h"

namespace coreml_delegate::engine::helper {
namespace {

constexpr char kFormat[] = "coreml compile helper 1";
// Of a failure and its causes. A chain in this library has a handful.
constexpr size_t kMostFailures = 32;
constexpr size_t kLongestText = 16 * 1024;

std::string dump(const Answer& answer, size_t longest_text) {
  nlohmann::json failures = nlohmann::json::array();
  for (Status status = answer.status; !status.ok() && failures.size() < kMostFailures;
       status = status.cause()) {
    failures.push_back({{"code", status_code_name(status.code())},
                        {"message", status.message().substr(0, longest_text)},
                        {"artifact", status.artifact().substr(0, longest_text)}});
  }
  const nlohmann::json json = {{"format", kFormat},
                               {"function", answer.function.substr(0, longest_text)},
                               {"failures", std::move(failures)}};
  // Names come from the model; they need not be UTF-8, and a cut may go through a character.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::optional<StatusCode> failure_code(std::string_view name) {
  for (int32_t i = 1; i <= static_cast<int32_t>(StatusCode::kInternal); ++i) {
    const StatusCode code = static_cast<StatusCode>(i);
    if (status_code_name(code) == name) return code;
  }
  return std::nullopt;
}

}  // namespace

std::string to_json(const Answer& answer) {
  size_t longest_text = kLongestText;
  std::string text = dump(answer, longest_text);
  while (text.size() > kLongestAnswer) text = dump(answer, longest_text /= 2);
  return text;
}

Result<Answer> answer_from_json(std::string_view text) {
  const nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  const nlohmann::json* const found = find_member(json, "failures");
  Answer answer;
  std::optional<std::string> function = find_string(json, "function");
  if (string_member(json, "format") != kFormat || !function || found == nullptr ||
      !found->is_array() || found->size() > kMostFailures) {
    return internal_error("the answer does not come from a compile helper");
  }
  answer.function = *std::move(function);
  // From the first cause to the failure that it led to.
  const nlohmann::json& failures = *found;
  for (auto failure = failures.rbegin(); failure != failures.rend(); ++failure) {
    const std::optional<StatusCode> code = failure_code(string_member(*failure, "code"));
    std::optional<std::string> message = find_string(*failure, "message");
    std::optional<std::string> artifact = find_string(*failure, "artifact");
    if (!code || !message || !artifact) {
      return internal_error("the answer does not come from a compile helper");
    }
    answer.status = answer.status.ok() ? Status(*code, *std::move(message), *std::move(artifact))
                                       : answer.status.annotate_as(*code, *std::move(message),
                                                                   *std::move(artifact));
  }
  return answer;
}

}  // namespace coreml_delegate::engine::helper
