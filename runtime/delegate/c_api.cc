#include <executorch/runtime/backend/interface.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "base/status.h"
#include "runtime/delegate/coreml_backend.h"
#include "runtime/delegate/edge.h"
#include "runtime/delegate/error_map.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_c.h"

namespace {

using executorch::runtime::BackendOption;
using executorch::runtime::Error;

using coreml_delegate::at_the_edge;

uint32_t set_option(const char* key, const executorch::runtime::OptionValue& value) {
  BackendOption option;
  if (key == nullptr || std::strlen(key) >= sizeof(option.key)) {
    return static_cast<uint32_t>(coreml_delegate::report(
        coreml_delegate::invalid_argument("there is no such option", key ? key : "")));
  }
  std::strcpy(option.key, key);
  option.value = value;
  // Through ExecuTorch, so that it reaches whatever backend has the name.
  return static_cast<uint32_t>(executorch::runtime::set_option(
      coreml_delegate::kBackendName, executorch::runtime::Span<BackendOption>(&option, 1)));
}

std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", static_cast<unsigned>(c));
      quoted += escaped.data();
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

template <typename Range, typename ToJson>
std::string json_list(const Range& range, ToJson to_json) {
  std::string list = "[";
  for (const auto& element : range) list += (list.size() > 1 ? ", " : "") + to_json(element);
  return list + "]";
}

}  // namespace

uint32_t coreml_delegate_register_backend(void) {
  return static_cast<uint32_t>(coreml_delegate::register_backend());
}

uint32_t coreml_delegate_set_string_option(const char* key, const char* value) {
  return at_the_edge("set an option", [&] {
    std::array<char, executorch::runtime::kMaxOptionValueLength> text{};
    if (value == nullptr || std::strlen(value) >= text.size()) {
      return static_cast<uint32_t>(coreml_delegate::report(coreml_delegate::invalid_argument(
          "the option's value has more than " + std::to_string(text.size() - 1) + " bytes",
          key ? key : "")));
    }
    std::copy_n(value, std::strlen(value), text.begin());
    return set_option(key, text);
  });
}

uint32_t coreml_delegate_set_int_option(const char* key, int value) {
  return at_the_edge("set an option", [&] { return set_option(key, value); });
}

uint32_t coreml_delegate_set_bool_option(const char* key, int value) {
  return at_the_edge("set an option", [&] { return set_option(key, value != 0); });
}

uint32_t coreml_delegate_reset_states(const char* method_name) {
  return at_the_edge("reset the states", [&] {
    return static_cast<uint32_t>(coreml_delegate::reset_states(method_name ? method_name : ""));
  });
}

const char* coreml_delegate_last_error(void) {
  return coreml_delegate::last_error_message().c_str();
}

const char* coreml_delegate_diagnose(void) {
  const auto diagnose = [] {
    thread_local std::string json;
    const coreml_delegate::Diagnostics found = coreml_delegate::diagnose();
    json = "{\"version\": " + json_string(found.version) + ", \"registered_backends\": " +
           json_list(found.registered_backends,
                     [](const std::string& name) { return json_string(name); }) +
           ", \"is_registered\": " + (found.is_registered ? "true" : "false") + ", \"engines\": " +
           json_list(found.engines,
                     [](const coreml_delegate::EngineInfo& engine) {
                       return "{\"name\": " + json_string(engine.name) +
                              ", \"fingerprint\": " + json_string(engine.fingerprint) + "}";
                     }) +
           ", \"default_engine\": " + json_string(found.default_engine) + "}";
    return json.c_str();
  };
  return at_the_edge("describe the delegate", diagnose, "{}");
}
