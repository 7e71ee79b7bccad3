#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_GRAPH_EXTRA_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_GRAPH_EXTRA_H_

// Builders that several op families share beyond graph.h. The same rules: they throw, one thread
// per graph.

#include <cstdint>
#include <vector>

#include "openvino/core/strides.hpp"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/op_context.h"

namespace coreml_delegate::engine::portable {

// A division that stays one. OpenVINO rewrites a / constant to a * (1 / constant), which is off by
// one unit in the last place and so by a whole step under a following floor or round.
Output exact_divide(const Output& a, const Output& b);

// Elements of axis `axis` in the opposite order.
Output reverse_axis(const Output& value, int64_t axis);

// ov Reshape where 0 keeps an extent of `value` and at most one -1 is inferred.
Output reshape_keeping(const Output& value, const std::vector<int64_t>& shape);

// A graph constant of f32 values.
Output f32_constant(const std::vector<float>& values, const std::vector<int64_t>& shape);
Output i32_constant(const std::vector<int32_t>& values, const std::vector<int64_t>& shape);
// Whether all elements of a constant argument are zero; false when it is not known now.
bool is_all_zero(const OpContext& op, std::string_view name);

// A [channels] vector as [1, channels, 1, ...] for a value of `rank`.
Output per_channel(const Output& vector, int64_t rank);

// What conv, conv_transpose and the pools say about their windows.
struct Window {
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads_begin;
  std::vector<int64_t> pads_end;
  // "valid" and "custom" have pads; "same" and "same_lower" derive them from the extents.
  enum class PadType { kValid, kCustom, kSame, kSameLower } pad_type = PadType::kValid;
  bool has_pads() const;
};
// Reads strides, dilations, pad_type and pad for `spatial_rank` axes; checks signs and counts.
// pad_type is "valid" where the program leaves it out.
Window read_window(const OpContext& op, int64_t spatial_rank);
// A window's strides or dilations as OpenVINO takes them.
inline ov::Strides as_strides(const std::vector<int64_t>& values) {
  return ov::Strides(values.begin(), values.end());
}

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_GRAPH_EXTRA_H_
