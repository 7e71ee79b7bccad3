#include "runtime/delegate/options.h"

#include <utility>

#include "base/file.h"
#include "base/logging.h"

namespace coreml_delegate {

namespace option_table {

Status wrong_type(const BackendOption& option, std::string_view expected) {
  constexpr std::string_view kTypes[] = {"a bool", "an int", "a string"};
  return invalid_argument("the option takes " + std::string(expected) + ", not " +
                              std::string(kTypes[option.value.index()]),
                          std::string(key_of(option)));
}

Result<std::string> string_value(const BackendOption& option) {
  const auto* value = std::get_if<StringValue>(&option.value);
  if (!value) return wrong_type(option, "a string");
  return std::string(value->data(), strnlen(value->data(), value->size()));
}

Status path_is_whole(std::string_view path, std::string_view option) {
  if (path.size() < kLongestString) return {};
  return invalid_argument(
      "the path has more than " + std::to_string(kLongestString - 1) +
          " bytes, and ExecuTorch cuts longer ones off: use a shorter path, such as that of a link",
      std::string(option));
}

Status unknown_option(std::string_view option, std::string_view known) {
  return invalid_argument("there is no such option; the options are: " + std::string(known),
                          std::string(option));
}

}  // namespace option_table

namespace {

using executorch::runtime::BackendOption;
using option_table::EmptyString;
using option_table::key_of;

constexpr std::string_view kUseNewCache = "_use_new_cache";

// Whether `option` was one of those that loading and set_option() share; then it is in `options`.
Result<bool> apply(const BackendOption& option, EmptyString empty, DelegateOptions& options) {
  if (key_of(option) == kUseNewCache) {
    if (!std::holds_alternative<bool>(option.value)) {
      return option_table::wrong_type(option, "a bool");
    }
    COREML_DELEGATE_LOG(kDebug, "CoreMLBackend: _use_new_cache has no effect: there is one cache");
    return true;
  }
  return option_table::apply<DelegateOptions>(kLoadOptions, option, empty, options);
}

std::string known_names() {
  return option_table::names<DelegateOptions>(kLoadOptions) + ", " + std::string(kUseNewCache);
}

}  // namespace

DelegateOptions DelegateOptions::or_else(const DelegateOptions& fallback) const {
  return option_table::merge<DelegateOptions>(kLoadOptions, *this, fallback);
}

Result<DelegateOptions> parse_load_options(executorch::runtime::Span<const BackendOption> options) {
  DelegateOptions parsed;
  for (const BackendOption& option : options) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const bool known,
                                     apply(option, EmptyString::kRefused, parsed));
    if (!known) return option_table::unknown_option(key_of(option), known_names());
  }
  return parsed;
}

Result<OptionUpdate> parse_option_update(const DelegateOptions& current,
                                         executorch::runtime::Span<BackendOption> options) {
  OptionUpdate update{.options = current, .reset_states = std::nullopt};
  for (const BackendOption& option : options) {
    if (key_of(option) == "reset_states") {
      if (const bool* all = std::get_if<bool>(&option.value)) {
        if (*all) update.reset_states = "";
        continue;
      }
      if (!std::holds_alternative<option_table::StringValue>(option.value)) {
        return option_table::wrong_type(option, "true or the name of a method");
      }
      COREML_DELEGATE_ASSIGN_OR_RETURN(update.reset_states, option_table::string_value(option));
      continue;
    }
    COREML_DELEGATE_ASSIGN_OR_RETURN(const bool known,
                                     apply(option, EmptyString::kClears, update.options));
    if (!known) {
      return option_table::unknown_option(key_of(option), known_names() + ", reset_states");
    }
  }
  return update;
}

Status read_option(const DelegateOptions& options, BackendOption& option) {
  if (option_table::read<DelegateOptions>(kLoadOptions, options, option)) return {};
  return option_table::unknown_option(key_of(option),
                                      option_table::names<DelegateOptions>(kLoadOptions));
}

Result<DelegateOptions> parse_compile_specs(
    executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> specs) {
  DelegateOptions options;
  for (const executorch::runtime::CompileSpec& spec : specs) {
    if (spec.key == nullptr || std::string_view(spec.key) != "compute_units") continue;
    if (spec.value.buffer == nullptr && spec.value.nbytes > 0) {
      return corrupt_data("the compile spec has no value", spec.key);
    }
    const std::string_view name(static_cast<const char*>(spec.value.buffer), spec.value.nbytes);
    COREML_DELEGATE_ASSIGN_OR_RETURN(options.compute_units, parse_compute_units(name));
  }
  return options;
}

Result<std::string> cache_folder(const DelegateOptions& options) {
#ifdef __APPLE__
  constexpr bool kKeepsUnasked = true;
#else
  constexpr bool kKeepsUnasked = false;
#endif
  if (!options.cache_dir && !kKeepsUnasked) return std::string();
  if (options.cache_dir && *options.cache_dir != "default") return *options.cache_dir;
  const Result<std::string> caches = caches_directory();
  if (caches.ok()) return join_path(*caches, "executorch_coreml");
  // Who asked for nothing gets what works.
  if (!options.cache_dir) return std::string();
  return caches.status().annotate("there is no default folder for compiled models", "cache_dir");
}

engine::LoadOptions engine_options(const DelegateOptions& options) {
  engine::LoadOptions load;
  option_table::give_engine<DelegateOptions>(kLoadOptions, options, load);
  return load;
}

Result<engine::ComputeUnits> parse_compute_units(std::string_view name) {
  return option_table::parse_name<engine::ComputeUnits>(name, "compute_units");
}

}  // namespace coreml_delegate
