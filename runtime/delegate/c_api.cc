#include <executorch/runtime/backend/interface.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/status.h"
#include "runtime/delegate/coreml_backend.h"
#include "runtime/delegate/edge.h"
#include "runtime/delegate/error_map.h"
#include "runtime/delegate/option_table.h"
#include "runtime/delegate/options.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_c.h"

namespace {

using executorch::runtime::BackendOption;

using coreml_delegate::at_the_edge;
using Json = nlohmann::ordered_json;

// Names that others registered need not be UTF-8.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

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
    Json engines = Json::array();
    for (const coreml_delegate::EngineInfo& engine : found.engines) {
      engines.push_back({{"name", engine.name}, {"fingerprint", engine.fingerprint}});
    }
    json = dump({{"version", found.version},
                 {"registered_backends", found.registered_backends},
                 {"is_registered", found.is_registered},
                 {"engines", std::move(engines)},
                 {"default_engine", found.default_engine}});
    return json.c_str();
  };
  return at_the_edge("describe the delegate", diagnose, "{}");
}

const char* coreml_delegate_load_options(void) {
  const auto list = [] {
    thread_local std::string json;
    Json rows = Json::array();
    for (const auto& row : coreml_delegate::kLoadOptions) {
      rows.push_back({{"name", row.name},
                      {"kind", coreml_delegate::option_table::kind(row)},
                      {"choices", coreml_delegate::option_table::choices(row)},
                      {"doc", row.doc}});
    }
    json = dump(rows);
    return json.c_str();
  };
  return at_the_edge("list the options", list, "[]");
}
