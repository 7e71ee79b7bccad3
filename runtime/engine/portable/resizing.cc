#include "runtime/engine/portable/resizing.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "openvino/op/clamp.hpp"
#include "openvino/op/floor.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/interpolate.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/minimum.hpp"
#include "openvino/op/range.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/checked_math.h"
#include "runtime/engine/portable/exact_arithmetic.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

using Interpolate = ov::op::v11::Interpolate;
using Attributes = ov::op::util::InterpolateBase::InterpolateAttrs;
using Mode = ov::op::util::InterpolateBase::InterpolateMode;
using Coordinates = ov::op::util::InterpolateBase::CoordinateTransformMode;
using Nearest = ov::op::util::InterpolateBase::NearestMode;
using Shapes = ov::op::util::InterpolateBase::ShapeCalcMode;

Output size_value(const TargetSize& size) {
  return size.extent >= 0 ? i64({size.extent}) : size.value;
}

Output sizes_value(const std::vector<TargetSize>& sizes) {
  if (std::all_of(sizes.begin(), sizes.end(),
                  [](const TargetSize& size) { return size.extent >= 0; })) {
    std::vector<int64_t> values;
    for (const TargetSize& size : sizes) values.push_back(size.extent);
    return i64(values);
  }
  ov::OutputVector parts;
  for (const TargetSize& size : sizes) parts.push_back(size_value(size));
  return concat(parts, 0);
}

// OpenVINO's fast kernels take [batch, channels, 2 or 3 axes]. Brings x into that form, and the
// result back.
struct Canonical {
  Output value;
  std::vector<TargetSize> sizes;  // Two or three.
  size_t resized = 0;             // Of the original's last axes.
  Output original;
};

Canonical canonicalize(const Output& x, const std::vector<TargetSize>& sizes) {
  Canonical result{x, sizes, sizes.size(), x};
  const int64_t x_rank = rank(x);
  const int64_t resized = static_cast<int64_t>(sizes.size());
  if (sizes.size() == 1) {
    // A height of one, between the batch axes and the width.
    result.value = unsqueeze(x, {x_rank - 1});
    result.sizes.insert(result.sizes.begin(), TargetSize{1, {}});
  }
  const int64_t batch_axes = x_rank - resized;
  if (batch_axes < 2) {
    std::vector<int64_t> axes(static_cast<size_t>(2 - batch_axes));
    std::iota(axes.begin(), axes.end(), 0);
    result.value = unsqueeze(result.value, axes);
  } else if (batch_axes > 2) {
    // [a, b, c, *d] as [a * b, c, *d].
    std::vector<int64_t> kept(static_cast<size_t>(rank(result.value)));
    std::iota(kept.begin(), kept.end(), 0);
    kept.erase(kept.begin(), kept.begin() + (batch_axes - 1));
    const Output shape = concat({i64({-1}), pick(shape_of(result.value), kept)}, 0);
    result.value = reshape(result.value, shape);
  }
  return result;
}

Output restore(const Output& y, const Canonical& canonical) {
  const int64_t original_rank = rank(canonical.original);
  const size_t batch_axes = static_cast<size_t>(original_rank) - canonical.resized;
  Output result = y;
  if (canonical.resized == 1) result = squeeze(result, {2});
  if (batch_axes < 2) {
    std::vector<int64_t> axes(2 - batch_axes);
    std::iota(axes.begin(), axes.end(), 0);
    return squeeze(result, axes);
  }
  if (batch_axes == 2) return result;
  std::vector<int64_t> axes(batch_axes);
  std::iota(axes.begin(), axes.end(), 0);
  std::vector<int64_t> resized(canonical.resized);
  std::iota(resized.begin(), resized.end(), 2);
  return reshape(
      result,
      concat({pick(shape_of(canonical.original), axes), pick(shape_of(result), resized)}, 0));
}

// The sizes of the last axes of a canonical value, checked not to be made of nothing.
Output sizes_from(const Output& value, const std::vector<TargetSize>& sizes) {
  const Output result = sizes_value(sizes);
  std::vector<int64_t> axes;
  for (size_t i = 0; i < sizes.size(); ++i) {
    // An extent that follows the input's is 0 where that is.
    if (sizes[i].extent > 0) axes.push_back(static_cast<int64_t>(i) + 2);
  }
  return unless_empty(value, axes, result);
}

Output interpolate(const Output& x, const std::vector<TargetSize>& sizes, Mode mode,
                   Coordinates coordinates) {
  const Canonical canonical = canonicalize(x, sizes);
  std::vector<int64_t> axes(canonical.sizes.size());
  std::iota(axes.begin(), axes.end(), 2);
  const std::vector<size_t> no_pads(static_cast<size_t>(rank(canonical.value)), 0);
  const Attributes attributes(mode, Shapes::SIZES, no_pads, no_pads, coordinates, Nearest::FLOOR);
  return restore(make<Interpolate>(canonical.value, sizes_from(canonical.value, canonical.sizes),
                                   i64(axes), attributes),
                 canonical);
}

// 0, 1, ... size - 1 as i32.
Output counter(const Output& size) {
  return make<ov::op::v4::Range>(i32_scalar(0),
                                 convert(reshape(size, std::vector<int64_t>{}), ov::element::i32),
                                 i32_scalar(1), ov::element::i32);
}

int64_t clamp_index(int64_t value, int64_t size) {
  return std::clamp<int64_t>(value, 0, std::max<int64_t>(size - 1, 0));
}

int64_t floor_divide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

int64_t nearest_index(NearestRule rule, bool center_single, int64_t i, int64_t in, int64_t out) {
  switch (rule) {
    case NearestRule::kFloor:
      return clamp_index(i * in / out, in);
    case NearestRule::kCenter:
      return clamp_index((2 * i + 1) * in / (2 * out), in);
    case NearestRule::kAlignCorners:
      if (out == 1) return center_single ? in / 2 : 0;
      return clamp_index(floor_divide(2 * i * (in - 1) + out - 1, 2 * (out - 1)), in);
    case NearestRule::kOffset:
      return clamp_index(((2 * i + 1) * std::max<int64_t>(1, in - 1) + out) / (2 * out), in);
  }
  return 0;
}

Output nearest_indices(NearestRule rule, bool center_single, const Output& in_size,
                       const Output& out_size) {
  const Output in = convert(in_size, ov::element::i32), out = convert(out_size, ov::element::i32),
               i = counter(out_size);
  const Output one = i32_scalar(1), two = i32_scalar(2);
  const auto quotient = [](const Output& a, const Output& b) {
    return make<ExactArithmetic>(a, b, ExactKind::kFloorDivide);
  };
  const Output odd = add(multiply(i, two), one);
  Output index;
  switch (rule) {
    case NearestRule::kFloor:
      index = quotient(multiply(i, in), out);
      break;
    case NearestRule::kCenter:
      index = quotient(multiply(odd, in), multiply(out, two));
      break;
    case NearestRule::kAlignCorners: {
      const Output steps = subtract(out, one), span = subtract(in, one);
      // With one output the quotient is 0 / 1 = 0, or in / 2 for its center.
      Output numerator = add(multiply(multiply(i, two), span), steps);
      const Output single =
          make<ov::op::v1::Maximum>(subtract(two, out), i32_scalar(0));  // 1 when out is 1.
      if (center_single) numerator = add(numerator, multiply(single, in));
      const Output denominator =
          add(multiply(steps, two), multiply(single, center_single ? two : one));
      index = quotient(numerator, denominator);
      break;
    }
    case NearestRule::kOffset: {
      const Output span = make<ov::op::v1::Maximum>(subtract(in, one), one);
      index = quotient(add(multiply(odd, span), out), multiply(out, two));
      break;
    }
  }
  return make<ov::op::v1::Maximum>(make<ov::op::v1::Minimum>(index, subtract(in, one)),
                                   i32_scalar(0));
}

Output gather(const Output& x, const Output& indices, int64_t axis) {
  return make<ov::op::v8::Gather>(x, indices_into(x, {axis}, indices), i64_scalar(axis));
}

// Linear interpolation along one axis at positions that OpenVINO's Interpolate does not have:
// kOffsetCorners, and kAlignCorners where it is not known now whether there is a single output.
Output resize_linear_axis(const Output& x, int64_t axis, const TargetSize& size,
                          SamplingMode mode) {
  const Output one = f32(1.0f), half = f32(0.5f);
  const Output in = convert(dimension_of(x, axis), ov::element::f32),
               out = convert(size_value(size), ov::element::f32);
  const Output last = subtract(in, one);
  const Output i = convert(counter(size_value(size)), ov::element::f32);
  Output position;
  if (mode == SamplingMode::kOffsetCorners) {
    position = multiply(add(i, half), divide(make<ov::op::v1::Maximum>(last, one), out));
  } else {
    const Output steps = make<ov::op::v1::Maximum>(subtract(out, one), one);
    const Output single =
        make<ov::op::v1::Maximum>(subtract(f32(2.0f), out), f32(0.0f));  // 1 when out is 1.
    position = add(multiply(i, divide(last, steps)), multiply(single, multiply(last, half)));
  }
  position = make<ov::op::v1::Minimum>(position, last);
  const Output below = make<ov::op::v0::Floor>(position);
  const Output above = make<ov::op::v1::Minimum>(add(below, one), last);
  std::vector<int64_t> shape(static_cast<size_t>(rank(x)), 1);
  shape[static_cast<size_t>(axis)] = -1;
  const Output weight = reshape(subtract(position, below), shape);
  const Output low = gather(x, convert(below, ov::element::i32), axis),
               high = gather(x, convert(above, ov::element::i32), axis);
  return add(multiply(low, subtract(one, weight)), multiply(high, weight));
}

Output resize_linear_axes(const Output& x, const std::vector<TargetSize>& sizes,
                          SamplingMode mode) {
  Output y = x;
  for (size_t i = 0; i < sizes.size(); ++i) {
    y = resize_linear_axis(y, rank(x) - static_cast<int64_t>(sizes.size() - i), sizes[i], mode);
  }
  return y;
}

// Whether the rule copies each input a whole number of times, in order: what OpenVINO's Interpolate
// computes without rounding errors.
bool repeats(const Output& x, const std::vector<TargetSize>& sizes, NearestRule rule) {
  if (rule != NearestRule::kFloor && rule != NearestRule::kCenter) return false;
  if (!x.get_element_type().is_real()) return false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t in = extent(x, rank(x) - static_cast<int64_t>(sizes.size() - i));
    if (in <= 0 || sizes[i].extent <= 0 || sizes[i].extent % in != 0) return false;
  }
  return true;
}

}  // namespace

SamplingMode read_sampling_mode(const OpContext& op) {
  const std::string mode = op.string("sampling_mode", "DEFAULT");
  if (mode == "STRICT_ALIGN_CORNERS") return SamplingMode::kStrictAlignCorners;
  if (mode == "ALIGN_CORNERS") return SamplingMode::kAlignCorners;
  if (mode == "DEFAULT") return SamplingMode::kDefault;
  if (mode == "OFFSET_CORNERS") return SamplingMode::kOffsetCorners;
  if (mode == "UNALIGN_CORNERS") return SamplingMode::kUnalignCorners;
  op.fail("unknown sampling_mode \"" + mode + "\"");
}

Output resize_linear(const Output& x, const std::vector<TargetSize>& sizes, SamplingMode mode) {
  const int64_t first = rank(x) - static_cast<int64_t>(sizes.size());
  switch (mode) {
    case SamplingMode::kStrictAlignCorners:
      return interpolate(x, sizes, Mode::LINEAR_ONNX, Coordinates::ALIGN_CORNERS);
    case SamplingMode::kDefault:
      return interpolate(x, sizes, Mode::LINEAR_ONNX, Coordinates::ASYMMETRIC);
    case SamplingMode::kUnalignCorners:
      return interpolate(x, sizes, Mode::LINEAR_ONNX, Coordinates::HALF_PIXEL);
    case SamplingMode::kAlignCorners: {
      if (std::any_of(sizes.begin(), sizes.end(),
                      [](const TargetSize& s) { return s.extent < 0; })) {
        return resize_linear_axes(x, sizes, mode);
      }
      // A single output lies in the center, which is where a half pixel grid has it.
      const bool has_single = std::any_of(sizes.begin(), sizes.end(),
                                          [](const TargetSize& s) { return s.extent == 1; });
      const bool has_many = std::any_of(sizes.begin(), sizes.end(),
                                        [](const TargetSize& s) { return s.extent != 1; });
      if (!has_single) return interpolate(x, sizes, Mode::LINEAR_ONNX, Coordinates::ALIGN_CORNERS);
      std::vector<TargetSize> singles = sizes, many = sizes;
      for (size_t i = 0; i < sizes.size(); ++i) {
        const int64_t axis = first + static_cast<int64_t>(i);
        if (sizes[i].extent == 1) {
          many[i] = TargetSize{1, {}};
        } else {
          singles[i] = TargetSize{extent(x, axis), dimension_of(x, axis)};
        }
      }
      const Output y = interpolate(x, singles, Mode::LINEAR_ONNX, Coordinates::HALF_PIXEL);
      return has_many ? interpolate(y, many, Mode::LINEAR_ONNX, Coordinates::ALIGN_CORNERS) : y;
    }
    case SamplingMode::kOffsetCorners:
      return resize_linear_axes(x, sizes, mode);
  }
  return x;
}

Output resize_nearest(const Output& x, const std::vector<TargetSize>& sizes, NearestRule rule,
                      bool center_single) {
  if (repeats(x, sizes, rule)) return interpolate(x, sizes, Mode::NEAREST, Coordinates::ASYMMETRIC);
  Output y = x;
  for (size_t k = 0; k < sizes.size(); ++k) {
    const int64_t axis = rank(x) - static_cast<int64_t>(sizes.size() - k);
    const int64_t in = extent(x, axis), out = sizes[k].extent;
    if (in > 0 && out == in && rule != NearestRule::kOffset) continue;
    if (in > 0 && out > 0) {
      // Each rule's numerators are below this, and its indices fit 32 bits.
      checked_product(checked_product(2, checked_sum(out, 1)), checked_sum(in, out));
      if (in > std::numeric_limits<int32_t>::max())
        throw OpError(unsupported("an extent of " + std::to_string(in) + " cannot be resized"));
      TranslationBudget::charge(static_cast<uint64_t>(out), sizeof(int32_t));
      std::vector<int32_t> indices(static_cast<size_t>(out));
      for (int64_t i = 0; i < out; ++i) {
        indices[static_cast<size_t>(i)] =
            static_cast<int32_t>(nearest_index(rule, center_single, i, in, out));
      }
      y = gather(y, i32_constant(indices, {out}), axis);
    } else {
      y = gather(y,
                 nearest_indices(rule, center_single, dimension_of(x, axis), size_value(sizes[k])),
                 axis);
    }
  }
  return y;
}

}  // namespace coreml_delegate::engine::portable
