#include "blob/json.h"

#include <exception>
#include <set>
#include <utility>
#include <vector>

namespace coreml_delegate::blob {
namespace {

using nlohmann::json;

// What the values of `text` nest to. Before parsing, so that nothing deep is ever built; text that
// is no JSON may get any answer.
int nesting_depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

// Sees every name of every object.
class NameWatcher {
 public:
  bool operator()(int /*depth*/, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) {
      names_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      names_.pop_back();
    } else if (event == json::parse_event_t::key && duplicate_.empty()) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names_.back().insert(name).second) duplicate_ = "'" + name.substr(0, 100) + "'";
    }
    return true;
  }
  const std::string& duplicate() const { return duplicate_; }

 private:
  std::vector<std::set<std::string>> names_;
  std::string duplicate_;
};

}  // namespace

Result<json> parse_json(std::string_view text, const std::string& what) {
  if (text.size() > kMaxJsonBytes) return corrupt_data(what + " is longer than 64 MiB");
  if (nesting_depth(text) > kMaxJsonDepth) {
    return corrupt_data(what + " is nested more than 16 levels deep");
  }
  try {
    NameWatcher names;
    json value = json::parse(
        text.begin(), text.end(),
        [&names](int depth, json::parse_event_t event, json& parsed) {
          return names(depth, event, parsed);
        },
        /*allow_exceptions=*/false);
    if (value.is_discarded()) return corrupt_data(what + " is not JSON in UTF-8");
    if (!names.duplicate().empty()) {
      return corrupt_data(what + " has an object with the name " + names.duplicate() + " twice");
    }
    return value;
  } catch (const std::exception& error) {
    return resource_exhausted(what + " cannot be parsed: " + error.what());
  }
}

}  // namespace coreml_delegate::blob
