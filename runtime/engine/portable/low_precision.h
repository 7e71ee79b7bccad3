#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_LOW_PRECISION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_LOW_PRECISION_H_

// The nodes of NumericMode::kLowPrecision. OpenVINO's low precision transformations give a
// convolution or product to an integer kernel when its activation comes from a FakeQuantize of 256
// levels and its weight is Constant(i8) -> Convert -> [Subtract] -> Multiply; everything here is
// spelled the way they look for it.
//
// Results differ from exact arithmetic where a value lies near the border of two integers: by one
// step of the scale, in either direction. That needs integer kernels whose sums are exact, which
// OpenVINO has where the processor has VNNI. Without it its kernels add two products of 8 bits in
// 16, where they saturate (VPMADDUBSW): results are off by many steps. Such a processor computes
// low precision as float32; on one that is not x86-64 nothing was measured, and it does too.
//
// Thread rule: as for the graph being built.

#include <optional>

#include "base/cpu_features.h"
#include "runtime/engine/numeric_mode.h"
#include "runtime/engine/portable/compressed_weights.h"
#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {

// Whether the integer kernels that OpenVINO chooses on a processor of these features have exact
// sums.
bool has_exact_integer_kernels(const CpuFeatures& features);

// The mode whose arithmetic this process executes for `mode`: kFloat32 for kLowPrecision where
// integer kernels would not be exact, else `mode`.
NumericMode arithmetic_of(NumericMode mode);

// scale * (data - offset); none for data that are neither int8 nor uint8, or where an axis has
// several scales but not one for each element.
std::optional<Output> low_precision_weight(const AffineWeight& weight);

// clamp(round(value / scale) + zero_point) as int8 or uint8. `scale` is a normal number.
Output low_precision_quantize(const Output& value, float scale, float zero_point, bool is_signed);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_LOW_PRECISION_H_
