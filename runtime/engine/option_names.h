#ifndef COREML_DELEGATE_RUNTIME_ENGINE_OPTION_NAMES_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_OPTION_NAMES_H_

// How options, command lines and files spell the values of an engine's options: tables of (name,
// value), numeric_mode.h's among them, and what is looked up in them.

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

inline constexpr std::pair<std::string_view, ComputeUnits> kComputeUnitNames[] = {
    {"all", ComputeUnits::kAll},
    {"cpu_only", ComputeUnits::kCpuOnly},
    {"cpu_and_gpu", ComputeUnits::kCpuAndGpu},
    {"cpu_and_ne", ComputeUnits::kCpuAndNeuralEngine},
};

inline constexpr std::pair<std::string_view, ReshapeFrequency> kReshapeFrequencyNames[] = {
    {"frequent", ReshapeFrequency::kFrequent},
    {"infrequent", ReshapeFrequency::kInfrequent},
};

inline constexpr std::pair<std::string_view, SpecializationStrategy>
    kSpecializationStrategyNames[] = {
        {"default", SpecializationStrategy::kDefault},
        {"fast_prediction", SpecializationStrategy::kFastPrediction},
};

inline constexpr std::pair<std::string_view, bool> kTruthNames[] = {
    {"false", false},
    {"true", true},
};

// Empty for a value without a name.
template <typename T, size_t N>
std::string_view name_of(const std::pair<std::string_view, T> (&names)[N], T value) {
  for (const auto& [name, candidate] : names) {
    if (candidate == value) return name;
  }
  return "";
}

template <typename T, size_t N>
std::optional<T> value_of(const std::pair<std::string_view, T> (&names)[N], std::string_view name) {
  for (const auto& [candidate, value] : names) {
    if (candidate == name) return value;
  }
  return std::nullopt;
}

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_OPTION_NAMES_H_
