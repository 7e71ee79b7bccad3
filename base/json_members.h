#ifndef COREML_DELEGATE_BASE_JSON_MEMBERS_H_
#define COREML_DELEGATE_BASE_JSON_MEMBERS_H_

// Members of JSON that may hold anything. Thread rule: pure functions.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace coreml_delegate {

// The member `name`; null where `json` is no object or has none of that name.
inline const nlohmann::json* find_member(const nlohmann::json& json, const char* name) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(name);
  return found == json.end() ? nullptr : &*found;
}

// The member `name` where it is a string.
inline std::optional<std::string> find_string(const nlohmann::json& json, const char* name) {
  const nlohmann::json* const member = find_member(json, name);
  if (member == nullptr || !member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

// The same, empty where there is none.
inline std::string string_member(const nlohmann::json& json, const char* name) {
  return find_string(json, name).value_or("");
}

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_JSON_MEMBERS_H_
