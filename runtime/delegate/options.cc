#include "runtime/delegate/options.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/logging.h"
#include "runtime/engine/option_names.h"

namespace coreml_delegate {
namespace {

using executorch::runtime::BackendOption;
using executorch::runtime::kMaxOptionValueLength;
using StringValue = std::array<char, kMaxOptionValueLength>;

constexpr std::pair<std::string_view, assets::Verification> kVerifications[] = {
    {"first_use", assets::Verification::kFirstUse},
    {"sampled", assets::Verification::kSampled},
    {"full", assets::Verification::kFull},
    {"none", assets::Verification::kNone},
};
// BackendOptions cuts strings after this many bytes without a word: one of this length may be the
// beginning of a longer one.
constexpr size_t kLongestString = kMaxOptionValueLength - 1;
constexpr int32_t kMaxThreads = 1024;

std::string_view key_of(const BackendOption& option) {
  return {option.key, strnlen(option.key, sizeof(option.key))};
}

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

// A path that was not cut on its way here.
Result<std::string> path_value(const BackendOption& option) {
  ASSIGN_OR_RETURN(std::string path, string_value(option));
  if (path.size() < kLongestString) return path;
  return invalid_argument("the path has more than " + std::to_string(kLongestString - 1) +
                              " bytes, and longer ones are cut on their way here: use a shorter "
                              "one, such as a link",
                          std::string(key_of(option)));
}

// `unit` says of what.
Result<int32_t> amount_value(const BackendOption& option, std::string_view unit) {
  const int* amount = std::get_if<int>(&option.value);
  if (!amount) return wrong_type(option, "an int");
  if (*amount >= 0) return *amount;
  return invalid_argument("the option takes " + std::string(unit) + ", or 0 for the default, not " +
                              std::to_string(*amount),
                          std::string(key_of(option)));
}

template <typename T, size_t N>
Result<T> parse_name(const std::pair<std::string_view, T> (&names)[N], std::string_view name,
                     std::string_view option) {
  if (const std::optional<T> value = engine::value_of(names, name)) return *value;
  std::string known;
  for (const auto& [candidate, value] : names) {
    known += (known.empty() ? "" : ", ") + std::string(candidate);
  }
  return invalid_argument("there is no value \"" + std::string(name) + "\"; there are: " + known,
                          std::string(option));
}

// Where an empty string takes the option back and where it is no value.
enum class EmptyString { kRefused, kClears };

// Whether `option` was one of those that loading and set_option() share; then it is in `options`.
Result<bool> apply(const BackendOption& option, EmptyString empty, DelegateOptions& options) {
  const std::string_view key = key_of(option);
  if (key == "engine") {
    ASSIGN_OR_RETURN(std::string name, string_value(option));
    if (name.empty())
      options.engine.reset();
    else
      options.engine = std::move(name);
    return true;
  }
  if (key == "compute_unit" || key == "numeric_mode") {
    ASSIGN_OR_RETURN(const std::string name, string_value(option));
    const bool clears = name.empty() && empty == EmptyString::kClears;
    if (key == "compute_unit") {
      options.compute_units.reset();
      if (!clears) {
        ASSIGN_OR_RETURN(options.compute_units, parse_name(engine::kComputeUnitNames, name, key));
      }
    } else {
      options.numeric_mode.reset();
      if (!clears) {
        ASSIGN_OR_RETURN(options.numeric_mode, parse_name(engine::kNumericModeNames, name, key));
      }
    }
    return true;
  }
  if (key == "threads") {
    const int* threads = std::get_if<int>(&option.value);
    if (!threads) return wrong_type(option, "an int");
    if (*threads < 0 || *threads > kMaxThreads) {
      return invalid_argument("the option takes 0 (the engine's choice) to " +
                                  std::to_string(kMaxThreads) + ", not " + std::to_string(*threads),
                              std::string(key));
    }
    options.threads = *threads;
    return true;
  }
  if (key == "share_models") {
    const bool* share = std::get_if<bool>(&option.value);
    if (!share) return wrong_type(option, "a bool");
    options.share_models = *share;
    return true;
  }
  if (key == "cache_dir") {
    ASSIGN_OR_RETURN(std::string folder, path_value(option));
    // Set and empty keeps nothing: at load time that wins over a folder set before.
    options.cache_dir.reset();
    if (!folder.empty() || empty == EmptyString::kRefused) options.cache_dir = std::move(folder);
    return true;
  }
  if (key == "cache_budget_mb") {
    ASSIGN_OR_RETURN(options.cache_budget_mb, amount_value(option, "megabytes"));
    return true;
  }
  if (key == "cache_verification") {
    ASSIGN_OR_RETURN(const std::string name, string_value(option));
    options.cache_verification.reset();
    if (!name.empty() || empty == EmptyString::kRefused) {
      ASSIGN_OR_RETURN(options.cache_verification, parse_name(kVerifications, name, key));
    }
    return true;
  }
  if (key == "compile_helper") {
    ASSIGN_OR_RETURN(std::string program, path_value(option));
    // As for cache_dir: set and empty compiles here, whatever was set before.
    options.compile_helper.reset();
    if (!program.empty() || empty == EmptyString::kRefused) {
      options.compile_helper = std::move(program);
    }
    return true;
  }
  if (key == "compile_helper_timeout_s") {
    ASSIGN_OR_RETURN(options.compile_helper_timeout_s, amount_value(option, "seconds"));
    return true;
  }
  if (key == "compile_helper_memory_mb") {
    ASSIGN_OR_RETURN(options.compile_helper_memory_mb, amount_value(option, "megabytes"));
    return true;
  }
  if (key == "warm_up") {
    const bool* warm_up = std::get_if<bool>(&option.value);
    if (!warm_up) return wrong_type(option, "a bool");
    options.warm_up = *warm_up;
    return true;
  }
  if (key == "_use_new_cache") {
    if (!std::holds_alternative<bool>(option.value)) return wrong_type(option, "a bool");
    COREML_DELEGATE_LOG(kDebug, "CoreMLBackend: _use_new_cache has no effect: there is one cache");
    return true;
  }
  return false;
}

Status unknown_option(const BackendOption& option, std::string_view known) {
  return invalid_argument("there is no such option; there are: " + std::string(known),
                          std::string(key_of(option)));
}

constexpr std::string_view kLoadOptionNames =
    "engine, compute_unit, numeric_mode, threads, share_models, cache_dir, cache_budget_mb, "
    "cache_verification, compile_helper, compile_helper_timeout_s, compile_helper_memory_mb, "
    "warm_up, _use_new_cache";
constexpr std::string_view kSetOptionNames =
    "engine, compute_unit, numeric_mode, threads, share_models, cache_dir, cache_budget_mb, "
    "cache_verification, compile_helper, compile_helper_timeout_s, compile_helper_memory_mb, "
    "warm_up, _use_new_cache, reset_states";

}  // namespace

DelegateOptions DelegateOptions::or_else(const DelegateOptions& fallback) const {
  DelegateOptions merged = *this;
  if (!merged.engine) merged.engine = fallback.engine;
  if (!merged.compute_units) merged.compute_units = fallback.compute_units;
  if (!merged.numeric_mode) merged.numeric_mode = fallback.numeric_mode;
  if (!merged.threads) merged.threads = fallback.threads;
  if (!merged.share_models) merged.share_models = fallback.share_models;
  if (!merged.cache_dir) merged.cache_dir = fallback.cache_dir;
  if (!merged.cache_budget_mb) merged.cache_budget_mb = fallback.cache_budget_mb;
  if (!merged.cache_verification) merged.cache_verification = fallback.cache_verification;
  if (!merged.compile_helper) merged.compile_helper = fallback.compile_helper;
  if (!merged.compile_helper_timeout_s) {
    merged.compile_helper_timeout_s = fallback.compile_helper_timeout_s;
  }
  if (!merged.compile_helper_memory_mb) {
    merged.compile_helper_memory_mb = fallback.compile_helper_memory_mb;
  }
  if (!merged.warm_up) merged.warm_up = fallback.warm_up;
  return merged;
}

Result<DelegateOptions> parse_load_options(executorch::runtime::Span<const BackendOption> options) {
  DelegateOptions parsed;
  for (const BackendOption& option : options) {
    ASSIGN_OR_RETURN(const bool known, apply(option, EmptyString::kRefused, parsed));
    if (!known) return unknown_option(option, kLoadOptionNames);
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
      if (!std::holds_alternative<StringValue>(option.value)) {
        return wrong_type(option, "true or the name of a method");
      }
      ASSIGN_OR_RETURN(update.reset_states, string_value(option));
      continue;
    }
    ASSIGN_OR_RETURN(const bool known, apply(option, EmptyString::kClears, update.options));
    if (!known) return unknown_option(option, kSetOptionNames);
  }
  return update;
}

Status read_option(const DelegateOptions& options, BackendOption& option) {
  const auto give_string = [&](std::string_view text) {
    StringValue value{};
    std::copy_n(text.begin(), std::min(text.size(), value.size() - 1), value.begin());
    option.value = value;
  };
  const std::string_view key = key_of(option);
  if (key == "engine") {
    give_string(options.engine.value_or(""));
  } else if (key == "compute_unit") {
    give_string(options.compute_units ? compute_units_name(*options.compute_units) : "");
  } else if (key == "numeric_mode") {
    give_string(options.numeric_mode ? numeric_mode_name(*options.numeric_mode) : "");
  } else if (key == "threads") {
    option.value = static_cast<int>(options.threads.value_or(0));
  } else if (key == "share_models") {
    option.value = options.share_models.value_or(false);
  } else if (key == "cache_dir") {
    give_string(options.cache_dir.value_or(""));
  } else if (key == "cache_budget_mb") {
    option.value = static_cast<int>(options.cache_budget_mb.value_or(0));
  } else if (key == "cache_verification") {
    give_string(options.cache_verification
                    ? engine::name_of(kVerifications, *options.cache_verification)
                    : "");
  } else if (key == "compile_helper") {
    give_string(options.compile_helper.value_or(""));
  } else if (key == "compile_helper_timeout_s") {
    option.value = static_cast<int>(options.compile_helper_timeout_s.value_or(0));
  } else if (key == "compile_helper_memory_mb") {
    option.value = static_cast<int>(options.compile_helper_memory_mb.value_or(0));
  } else if (key == "warm_up") {
    option.value = options.warm_up.value_or(false);
  } else {
    return unknown_option(option,
                          "engine, compute_unit, numeric_mode, threads, share_models, cache_dir, "
                          "cache_budget_mb, cache_verification, compile_helper, "
                          "compile_helper_timeout_s, compile_helper_memory_mb, warm_up");
  }
  return Status();
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
    ASSIGN_OR_RETURN(options.compute_units, parse_compute_units(name));
  }
  return options;
}

Result<engine::ComputeUnits> parse_compute_units(std::string_view name) {
  return parse_name(engine::kComputeUnitNames, name, "compute_units");
}

std::string_view compute_units_name(engine::ComputeUnits units) {
  return engine::name_of(engine::kComputeUnitNames, units);
}

std::string_view numeric_mode_name(engine::NumericMode mode) {
  return engine::name_of(engine::kNumericModeNames, mode);
}

}  // namespace coreml_delegate
