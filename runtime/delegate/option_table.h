#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_OPTION_TABLE_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_OPTION_TABLE_H_

// Options as a table: one row says all that there is to know about an option. Parsing, merging,
// reading back, messages, what an engine is given, the runner's flags and its help, and Python's
// keyword arguments follow from the rows.
//
//   struct Options {
//     std::optional<int32_t> threads;
//   };
//   inline constexpr OptionRow<Options> kRows[] = {
//       {.name = "threads",
//        .member = &Options::threads,
//        .most = 1024,
//        .zero = "the engine's choice",
//        .placeholder = "N",
//        .doc = "threads of one execution"},
//   };
//
// Thread rule: pure functions over values.

#include <executorch/runtime/backend/interface.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "runtime/assets/asset_store.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/option_names.h"

namespace coreml_delegate {

// The names of the values of an option that is an enumeration.
inline constexpr std::pair<std::string_view, assets::Verification> kVerificationNames[] = {
    {"first_use", assets::Verification::kFirstUse},
    {"sampled", assets::Verification::kSampled},
    {"full", assets::Verification::kFull},
    {"none", assets::Verification::kNone},
};
inline constexpr auto& value_names(engine::ComputeUnits) { return engine::kComputeUnitNames; }
inline constexpr auto& value_names(engine::ReshapeFrequency) {
  return engine::kReshapeFrequencyNames;
}
inline constexpr auto& value_names(engine::SpecializationStrategy) {
  return engine::kSpecializationStrategyNames;
}
inline constexpr auto& value_names(engine::NumericMode) { return engine::kNumericModeNames; }
inline constexpr auto& value_names(assets::Verification) { return kVerificationNames; }

template <typename Options>
struct OptionRow {
  // Its kind is its member's type: a string, an int, a bool, or a string of a few.
  using Member =
      std::variant<std::optional<std::string> Options::*, std::optional<int32_t> Options::*,
                   std::optional<bool> Options::*, std::optional<engine::ComputeUnits> Options::*,
                   std::optional<engine::NumericMode> Options::*,
                   std::optional<engine::ReshapeFrequency> Options::*,
                   std::optional<engine::SpecializationStrategy> Options::*,
                   std::optional<assets::Verification> Options::*>;

  // For an option that the engine is given: its member there, of the same type.
  using EngineMember =
      std::variant<std::monostate, int32_t engine::LoadOptions::*, bool engine::LoadOptions::*,
                   engine::ComputeUnits engine::LoadOptions::*,
                   engine::NumericMode engine::LoadOptions::*,
                   engine::ReshapeFrequency engine::LoadOptions::*,
                   engine::SpecializationStrategy engine::LoadOptions::*>;

  std::string_view name;
  Member member;
  EngineMember engine_member = {};
  // Of a string: whether it is a path. Then its length is checked, as longer ones are cut on their
  // way here, and an empty one at load time is a value ("none"), which wins over others.
  bool is_path = false;
  // Of an int: its largest value, and what 0 stands for. The least is 0.
  int32_t most = std::numeric_limits<int32_t>::max();
  std::string_view zero = "the default";
  // The runner's flag where it is not the name with `-` for `_`.
  std::string_view flag = {};
  // For the runner's help: what stands for the value, and what the option does.
  std::string_view placeholder = {};
  std::string_view doc;
};

namespace option_table {

using executorch::runtime::BackendOption;
using executorch::runtime::kMaxOptionValueLength;
using StringValue = std::array<char, kMaxOptionValueLength>;

// BackendOptions cuts strings after this many bytes without a word: one of this length may be the
// beginning of a longer one.
inline constexpr size_t kLongestString = kMaxOptionValueLength - 1;

// Where an empty string takes the option back and where it is no value.
enum class EmptyString { kRefused, kClears };

inline std::string_view key_of(const BackendOption& option) {
  return {option.key, strnlen(option.key, sizeof(option.key))};
}

Status wrong_type(const BackendOption& option, std::string_view expected);
Result<std::string> string_value(const BackendOption& option);
Status path_is_whole(std::string_view path, std::string_view option);
Status unknown_option(std::string_view option, std::string_view known);

template <typename T>
Result<T> parse_name(std::string_view name, std::string_view option) {
  if (const std::optional<T> value = engine::value_of(value_names(T()), name)) return *value;
  std::string known;
  for (const auto& [candidate, value] : value_names(T())) {
    known += (known.empty() ? "" : ", ") + std::string(candidate);
  }
  return invalid_argument(
      "there is no value \"" + std::string(name) + "\"; the values are: " + known,
      std::string(option));
}

template <typename Options>
using Rows = std::span<const OptionRow<Options>>;

template <typename Options>
const OptionRow<Options>* find_row(std::type_identity_t<Rows<Options>> rows,
                                   std::string_view name) {
  for (const OptionRow<Options>& row : rows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

// "engine, compute_unit, ..."
template <typename Options>
std::string names(std::type_identity_t<Rows<Options>> rows) {
  std::string text;
  for (const OptionRow<Options>& row : rows) {
    text += (text.empty() ? "" : ", ") + std::string(row.name);
  }
  return text;
}

// What is not set in `options` is taken from `fallback`.
template <typename Options>
Options merge(std::type_identity_t<Rows<Options>> rows, const Options& options,
              const Options& fallback) {
  Options merged = options;
  for (const OptionRow<Options>& row : rows) {
    std::visit(
        [&](auto member) {
          if (!(merged.*member)) merged.*member = fallback.*member;
        },
        row.member);
  }
  return merged;
}

// Sets the option that `given` names. False: no row has its name.
template <typename Options>
Result<bool> apply(std::type_identity_t<Rows<Options>> rows, const BackendOption& given,
                   EmptyString empty, Options& options) {
  const std::string_view key = key_of(given);
  const OptionRow<Options>* const row = find_row<Options>(rows, key);
  if (row == nullptr) return false;
  const auto set = [&]<typename T>(std::optional<T> Options::*member) -> Status {
    std::optional<T>& target = options.*member;
    if constexpr (std::is_same_v<T, bool>) {
      const bool* const value = std::get_if<bool>(&given.value);
      if (value == nullptr) return wrong_type(given, "a bool");
      target = *value;
    } else if constexpr (std::is_same_v<T, int32_t>) {
      const int* const value = std::get_if<int>(&given.value);
      if (value == nullptr) return wrong_type(given, "an int");
      if (*value < 0 || *value > row->most) {
        return invalid_argument("the option takes 0 (" + std::string(row->zero) + ") to " +
                                    std::to_string(row->most) + ", not " + std::to_string(*value),
                                std::string(key));
      }
      target = *value;
    } else if constexpr (std::is_same_v<T, std::string>) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(std::string text, string_value(given));
      if (row->is_path) COREML_DELEGATE_RETURN_IF_ERROR(path_is_whole(text, key));
      const bool is_a_value = row->is_path && empty == EmptyString::kRefused;
      target.reset();
      if (!text.empty() || is_a_value) target = std::move(text);
    } else {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const std::string text, string_value(given));
      target.reset();
      if (text.empty() && empty == EmptyString::kClears) return {};
      COREML_DELEGATE_ASSIGN_OR_RETURN(target, parse_name<T>(text, key));
    }
    return {};
  };
  COREML_DELEGATE_RETURN_IF_ERROR(std::visit(set, row->member));
  return true;
}

// Writes the value that the option has (an unset one: empty, 0 or false). False: no row has its
// name.
template <typename Options>
bool read(std::type_identity_t<Rows<Options>> rows, const Options& options, BackendOption& option) {
  const OptionRow<Options>* const row = find_row<Options>(rows, key_of(option));
  if (row == nullptr) return false;
  const auto give_string = [&](std::string_view text) {
    StringValue value{};
    std::copy_n(text.begin(), std::min(text.size(), value.size() - 1), value.begin());
    option.value = value;
  };
  const auto give = [&]<typename T>(std::optional<T> Options::*member) {
    const std::optional<T>& value = options.*member;
    if constexpr (std::is_same_v<T, bool>) {
      option.value = value.value_or(false);
    } else if constexpr (std::is_same_v<T, int32_t>) {
      option.value = static_cast<int>(value.value_or(0));
    } else if constexpr (std::is_same_v<T, std::string>) {
      give_string(value.value_or(""));
    } else {
      give_string(value ? engine::name_of(value_names(T()), *value) : std::string_view());
    }
  };
  std::visit(give, row->member);
  return true;
}

// Gives the engine what is set of its options; the others keep their defaults.
template <typename Options>
void give_engine(std::type_identity_t<Rows<Options>> rows, const Options& options,
                 engine::LoadOptions& load) {
  for (const OptionRow<Options>& row : rows) {
    std::visit(
        [&]<typename T, typename M>(std::optional<T> Options::*member, M target) {
          if constexpr (std::is_same_v<M, T engine::LoadOptions::*>) {
            if (options.*member) load.*target = *(options.*member);
          }
        },
        row.member, row.engine_member);
  }
}

// --- For people and other languages ---

// The type of an option's values: "bool", "int", "path", or "string", of which "choice" is one of a
// few.
template <typename Options>
std::string_view kind(const OptionRow<Options>& row) {
  return std::visit(
      [&]<typename T>(std::optional<T> Options::*) -> std::string_view {
        if constexpr (std::is_same_v<T, bool>) return "bool";
        if constexpr (std::is_same_v<T, int32_t>) return "int";
        if constexpr (std::is_same_v<T, std::string>) return row.is_path ? "path" : "string";
        return "choice";
      },
      row.member);
}

// The names of the values of a "choice"; empty for other kinds.
template <typename Options>
std::vector<std::string_view> choices(const OptionRow<Options>& row) {
  std::vector<std::string_view> names;
  std::visit(
      [&]<typename T>(std::optional<T> Options::*) {
        if constexpr (std::is_enum_v<T>) {
          for (const auto& [name, value] : value_names(T())) names.push_back(name);
        }
      },
      row.member);
  return names;
}

// "--cache-dir"
template <typename Options>
std::string flag_of(const OptionRow<Options>& row) {
  std::string flag(row.flag.empty() ? row.name : row.flag);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return "--" + flag;
}

template <typename Options>
bool is_switch(const OptionRow<Options>& row) {
  return std::holds_alternative<std::optional<bool> Options::*>(row.member);
}
template <typename Options>
bool is_number(const OptionRow<Options>& row) {
  return std::holds_alternative<std::optional<int32_t> Options::*>(row.member);
}

// Lines of "  --flag VALUE   what it does", wrapped at 100 columns.
template <typename Options>
std::string help(std::type_identity_t<Rows<Options>> rows) {
  constexpr size_t kIndent = 27;
  constexpr size_t kWidth = 100;
  std::string text;
  for (const OptionRow<Options>& row : rows) {
    std::string line = "  " + flag_of(row);
    if (!row.placeholder.empty()) line += " " + std::string(row.placeholder);
    line.resize(std::max(line.size() + 1, kIndent), ' ');
    std::string_view words = row.doc;
    while (!words.empty()) {
      const size_t space = std::min(words.find(' '), words.size());
      if (line.size() > kIndent && line.size() + space > kWidth) {
        text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
        line = std::string(kIndent, ' ');
      }
      line += std::string(words.substr(0, space)) + " ";
      words.remove_prefix(std::min(space + 1, words.size()));
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace option_table
}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_OPTION_TABLE_H_
