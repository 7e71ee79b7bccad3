#ifndef COREML_DELEGATE_RUNTIME_ENGINE_NUMERIC_MODE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_NUMERIC_MODE_H_

#include <cstdint>
#include <string_view>
#include <utility>

namespace coreml_delegate::engine {

// How an engine that emulates Core ML's arithmetic computes (docs/engine.md). Core ML ignores it.
enum class NumericMode : uint8_t {
  kFloat32,  // float16 weights and activations are computed in float32: the default.
  kFloat16,  // Every float16 value is rounded to IEEE half after its operation.
  // As kFloat32, but what the program quantizes is computed with integer kernels, and beside
  // compressed weights the engine may quantize activations itself: fast, not exact.
  kLowPrecision,
};

// As options and files spell them.
inline constexpr std::pair<std::string_view, NumericMode> kNumericModeNames[] = {
    {"float32", NumericMode::kFloat32},
    {"float16", NumericMode::kFloat16},
    {"low_precision", NumericMode::kLowPrecision},
};

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_NUMERIC_MODE_H_
