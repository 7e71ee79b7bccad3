#include "runtime/engine/compile_request.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/platform.h"
#include "base/utf8.h"
#include "runtime/engine/option_names.h"

namespace coreml_delegate::engine {
namespace {

using Fields = std::map<std::string, std::string>;

constexpr char kEngine[] = "engine";
constexpr char kFingerprint[] = "fingerprint";
constexpr char kFunction[] = "function";
constexpr char kPlatform[] = "platform";

// One option as a text, and back.
struct Option {
  std::string_view name;
  std::string (*write)(const LoadOptions& options);
  // False for a text that write() does not give.
  bool (*read)(std::string_view text, LoadOptions& options);
  // What read() takes, for messages.
  std::string (*takes)() = [] { return std::string("another text"); };
};

template <typename T, size_t N>
bool read_named(const std::pair<std::string_view, T> (&names)[N], std::string_view text, T& value) {
  const std::optional<T> found = value_of(names, text);
  if (found) value = *found;
  return found.has_value();
}

template <const auto& kNames>
std::string names_of() {
  std::string list;
  for (const auto& [name, value] : kNames) list += (list.empty() ? "" : ", ") + std::string(name);
  return "one of " + list;
}

constexpr Option kOptions[] = {
    {kFunction, [](const LoadOptions& options) { return options.function_name; },
     [](std::string_view text, LoadOptions& options) {
       options.function_name = text;
       return true;
     }},
    {"compute_units",
     [](const LoadOptions& options) {
       return std::string(name_of(kComputeUnitNames, options.compute_units));
     },
     [](std::string_view text, LoadOptions& options) {
       return read_named(kComputeUnitNames, text, options.compute_units);
     },
     names_of<kComputeUnitNames>},
    {"numeric_mode",
     [](const LoadOptions& options) {
       return std::string(name_of(kNumericModeNames, options.numeric_mode));
     },
     [](std::string_view text, LoadOptions& options) {
       return read_named(kNumericModeNames, text, options.numeric_mode);
     },
     names_of<kNumericModeNames>},
    {"reshape_frequency",
     [](const LoadOptions& options) {
       return std::string(name_of(kReshapeFrequencyNames, options.reshape_frequency));
     },
     [](std::string_view text, LoadOptions& options) {
       return read_named(kReshapeFrequencyNames, text, options.reshape_frequency);
     },
     names_of<kReshapeFrequencyNames>},
    {"specialization_strategy",
     [](const LoadOptions& options) {
       return std::string(name_of(kSpecializationStrategyNames, options.specialization_strategy));
     },
     [](std::string_view text, LoadOptions& options) {
       return read_named(kSpecializationStrategyNames, text, options.specialization_strategy);
     },
     names_of<kSpecializationStrategyNames>},
    {"low_precision_accumulation",
     [](const LoadOptions& options) {
       return std::string(name_of(kTruthNames, options.low_precision_accumulation));
     },
     [](std::string_view text, LoadOptions& options) {
       return read_named(kTruthNames, text, options.low_precision_accumulation);
     },
     names_of<kTruthNames>},
    {"threads", [](const LoadOptions& options) { return std::to_string(options.threads); },
     [](std::string_view text, LoadOptions& options) {
       const char* const end = text.data() + text.size();
       const auto [rest, error] = std::from_chars(text.data(), end, options.threads);
       return error == std::errc() && rest == end && options.threads >= 0;
     },
     [] { return std::string("a number of 0 or more"); }},
};

Status write_options(const std::vector<std::string_view>& names, const LoadOptions& options,
                     Fields& fields) {
  for (const std::string_view name : names) {
    bool is_known = false;
    for (const Option& option : kOptions) {
      if (option.name != name) continue;
      fields.emplace(name, option.write(options));
      is_known = true;
    }
    if (!is_known)
      return internal_error("the engine names an option that does not exist", std::string(name));
  }
  return {};
}

std::string to_text(const Fields& fields) {
  // Everything in it was checked to be UTF-8 or comes from this project.
  return nlohmann::json(fields).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Fields> fields_of(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  Fields fields;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) return std::nullopt;
    fields.emplace(name, value.get<std::string>());
  }
  return fields;
}

Status read_options(const Fields& fields, LoadOptions& options) {
  for (const Option& option : kOptions) {
    const auto field = fields.find(std::string(option.name));
    if (field == fields.end() || option.read(field->second, options)) continue;
    return invalid_argument(
        "this option of a compile request cannot have the value \"" + field->second + "\"",
        field->first);
  }
  return {};
}

// Where a request comes from: the members that make_request() adds by itself.
Fields origin_of(const Engine& engine) {
  return {{kEngine, std::string(engine.name())},
          {kFingerprint, engine.fingerprint()},
          {kPlatform, platform_name()}};
}

Status set_option(std::string_view name, std::string_view value, LoadOptions& options) {
  std::string known;
  for (const Option& option : kOptions) {
    if (option.name == kFunction) continue;
    if (option.name == name) {
      if (option.read(value, options)) return {};
      return invalid_argument(std::string(name) + " must be " + option.takes(), std::string(value));
    }
    known += (known.empty() ? "" : ", ") + std::string(option.name);
  }
  return invalid_argument("engines have no such option; the options are: " + known,
                          std::string(name));
}

}  // namespace

Status parse_options(std::string_view text, LoadOptions& options) {
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (word.empty()) continue;
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) {
      return invalid_argument("an option must be written as name=value", std::string(word));
    }
    COREML_DELEGATE_RETURN_IF_ERROR(
        set_option(word.substr(0, equals), word.substr(equals + 1), options));
  }
  return {};
}

Result<CompileRequest> make_request(const Engine& engine, const OptionsThatMatter& matter,
                                    const LoadOptions& options) {
  if (!is_valid_utf8(options.function_name)) {
    return invalid_argument("the function's name is not UTF-8", options.function_name);
  }
  CompileRequest request;
  request.attributes = origin_of(engine);
  request.attributes.emplace(kFunction, options.function_name);
  COREML_DELEGATE_RETURN_IF_ERROR(write_options(matter.when_compiled, options, request.attributes));
  request.text = to_text(request.attributes);
  Fields loaded;
  COREML_DELEGATE_RETURN_IF_ERROR(write_options(matter.when_loaded, options, loaded));
  request.load_text = to_text(loaded);
  return request;
}

Result<LoadOptions> read_request(const Engine& engine, const CompileRequest& request) {
  const std::optional<Fields> compiled = fields_of(request.text);
  const std::optional<Fields> loaded = fields_of(request.load_text);
  if (!compiled || !loaded) {
    return invalid_argument("no engine of this version wrote the compile request", request.text);
  }
  for (const auto& [name, expected] : origin_of(engine)) {
    const auto field = compiled->find(name);
    const std::string found = field == compiled->end() ? std::string() : field->second;
    if (found == expected) continue;
    return failed_precondition("the compile request was written for the " + name + " \"" + found +
                                   "\", but here it is \"" + expected + "\"",
                               std::string(engine.name()));
  }
  LoadOptions options;
  COREML_DELEGATE_RETURN_IF_ERROR(read_options(*compiled, options));
  COREML_DELEGATE_RETURN_IF_ERROR(read_options(*loaded, options));
  return options;
}

Status check_compiled_for(std::string_view compiled, const std::string& function,
                          const CompileRequest& asked, const std::string& folder) {
  const std::optional<Fields> there = fields_of(compiled);
  if (!there) return corrupt_data("the folder does not say what it was compiled for", folder);
  const std::optional<Fields> wanted = fields_of(asked.text);
  if (!wanted) {
    return invalid_argument("no engine of this version wrote the compile request", asked.text);
  }
  const auto value = [](const Fields& fields, const std::string& name) {
    const auto field = fields.find(name);
    return field == fields.end() ? std::string() : field->second;
  };
  Fields either = *there;
  either.insert(wanted->begin(), wanted->end());
  for (const auto& [name, unused] : either) {
    if (name == kFunction || value(*there, name) == value(*wanted, name)) continue;
    return failed_precondition("the folder was compiled for the " + name + " \"" +
                                   value(*there, name) + "\", but here it is \"" +
                                   value(*wanted, name) + "\": compile the model again",
                               folder);
  }
  const std::string wanted_function = value(*wanted, kFunction);
  if (wanted_function.empty() || wanted_function == function) return {};
  return failed_precondition(
      "the folder holds the function \"" + function + "\", which is not the requested one", folder);
}

}  // namespace coreml_delegate::engine
