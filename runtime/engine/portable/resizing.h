#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RESIZING_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RESIZING_H_

// Resizing of the last axes of a value to other extents, by MIL's sampling modes. Throws as graph.h
// does.

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/op_context.h"

namespace coreml_delegate::engine::portable {

// Where output i of `out` is sampled from `in` elements, clamped to [0, in - 1]:
enum class SamplingMode {
  kStrictAlignCorners,  // i * (in - 1) / (out - 1)
  kAlignCorners,        // the same; (in - 1) / 2 when out is 1
  kDefault,             // i * in / out
  kOffsetCorners,       // (i + 1/2) * max(1, in - 1) / out
  kUnalignCorners,      // (i + 1/2) * in / out - 1/2
};

// The parameter sampling_mode by its name; DEFAULT when it is left out.
SamplingMode read_sampling_mode(const OpContext& op);

// The sizes of the resized axes, in their order: each known now, or a 1-D i64 value of one element.
struct TargetSize {
  int64_t extent = -1;
  Output value;  // Used when extent is negative.
};

// Linear interpolation along the last sizes.size() axes (1 to 3) of a real value.
Output resize_linear(const Output& x, const std::vector<TargetSize>& sizes, SamplingMode mode);

// How an output is assigned an input without interpolation: floor((a * i + b) / c), clamped,
// computed in integers.
enum class NearestRule {
  kFloor,         // i * in / out: upsample_nearest_neighbor
  kCenter,        // (i + 1/2) * in / out: resize_nearest_neighbor, and resize with centered grids
  kAlignCorners,  // the nearest to i * (in - 1) / (out - 1), halves up; in / 2 when out is 1 and
                  // `center_single`
  kOffset,        // the nearest to (i + 1/2) * max(1, in - 1) / out
};
Output resize_nearest(const Output& x, const std::vector<TargetSize>& sizes, NearestRule rule,
                      bool center_single = false);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RESIZING_H_
