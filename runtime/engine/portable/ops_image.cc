// Resizing, cropping, sampling of images; non_maximum_suppression.

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "openvino/op/equal.hpp"
#include "openvino/op/floor.hpp"
#include "openvino/op/select.hpp"
#include "runtime/engine/portable/checked_math.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/image_sampling.h"
#include "runtime/engine/portable/non_maximum_suppression.h"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/resizing.h"

namespace coreml_delegate::engine::portable {
namespace {

// Above this an extent is taken for damage rather than for an image.
constexpr int64_t kMaximumExtent = int64_t{1} << 24;

void require_image(const OpContext& op, const Output& x) {
  op.require(rank(x) >= 3, "x needs rank 3 or more");
}

// floor(extent * scale) for one of the last two axes; what the program declares where it knows.
TargetSize scaled_size(const OpContext& op, const Output& x, int64_t from_end,
                       std::string_view parameter) {
  const float scale = op.real(parameter, 1.0f);
  op.require(std::isfinite(scale) && scale > 0.0f, std::string(parameter) + " must be positive");
  const int64_t axis = rank(x) - from_end, in = extent(x, axis);
  const std::vector<int64_t>& declared = op.output_type().shape;
  TargetSize size;
  if (static_cast<int64_t>(declared.size()) == rank(x))
    size.extent = declared[static_cast<size_t>(axis)];
  if (size.extent < 0 && in >= 0)
    size.extent = checked_int64(std::floor(static_cast<double>(in) * scale));
  if (size.extent >= 0) {
    op.require(size.extent >= 1 && size.extent <= kMaximumExtent,
               "the target extents are out of range");
    return size;
  }
  const Output dimension = dimension_of(x, axis);
  if (scale == std::floor(scale)) {
    size.value = multiply(dimension, i64({checked_int64(scale)}));
  } else {
    const Output product = multiply(convert(dimension, ov::element::f32), f32(scale));
    size.value = convert(make<ov::op::v0::Floor>(product), ov::element::i64);
  }
  return size;
}

std::vector<TargetSize> scaled_sizes(const OpContext& op, const Output& x) {
  require_image(op, x);
  return {scaled_size(op, x, 2, "scale_factor_height"),
          scaled_size(op, x, 1, "scale_factor_width")};
}

std::vector<TargetSize> target_sizes(const OpContext& op, const Output& x) {
  require_image(op, x);
  std::vector<TargetSize> sizes;
  for (const char* name : {"target_size_height", "target_size_width"}) {
    const int64_t size = op.integer(name, 1);
    op.require(size >= 1 && size <= kMaximumExtent, std::string(name) + " is out of range");
    sizes.push_back({size, {}});
  }
  return sizes;
}

OpResults translate_upsample_nearest_neighbor(OpContext& op) {
  const Output x = op.input("x");
  return resize_nearest(x, scaled_sizes(op, x), NearestRule::kFloor);
}

OpResults translate_resize_nearest_neighbor(OpContext& op) {
  const Output x = op.input("x");
  return resize_nearest(x, target_sizes(op, x), NearestRule::kCenter);
}

OpResults translate_upsample_bilinear(OpContext& op) {
  const Output x = op.input("x");
  const bool align_corners = op.boolean("align_corners", true);
  const bool half_pixels = op.boolean("half_pixel_centers", !align_corners);
  if (align_corners && half_pixels)
    op.fail("align_corners and half_pixel_centers exclude each other");
  return resize_linear(x, scaled_sizes(op, x),
                       align_corners ? SamplingMode::kStrictAlignCorners
                       : half_pixels ? SamplingMode::kUnalignCorners
                                     : SamplingMode::kDefault);
}

OpResults translate_resize_bilinear(OpContext& op) {
  const Output x = op.input("x");
  return resize_linear(x, target_sizes(op, x), read_sampling_mode(op));
}

// The last `resized_dims` extents of `shape`; 0 keeps the extent of x.
std::vector<TargetSize> shape_sizes(const OpContext& op, const Output& x) {
  const int64_t x_rank = rank(x), resized = op.integer("resized_dims");
  const Output shape = op.index_input("shape");
  const int64_t length = extent(shape, 0);
  op.require(resized >= 1 && resized <= x_rank && length >= resized,
             "resized_dims does not fit shape and x");
  if (resized > 3) op.fail_unsupported("more than three resized axes");
  const std::optional<std::vector<int64_t>> known = fold_integers(shape);
  std::vector<TargetSize> sizes;
  for (int64_t i = 0; i < resized; ++i) {
    const int64_t axis = x_rank - resized + i, position = length - resized + i;
    TargetSize size;
    if (known.has_value()) {
      size.extent = (*known)[static_cast<size_t>(position)];
      op.require(size.extent >= 0 && size.extent <= kMaximumExtent,
                 "shape has an extent out of range");
      if (size.extent == 0) size = {extent(x, axis), dimension_of(x, axis)};
    } else {
      const Output wanted = pick(shape, {position});
      const Output keep = make<ov::op::v1::Equal>(wanted, i64({0}));
      size.value = make<ov::op::v1::Select>(keep, dimension_of(x, axis), wanted);
    }
    sizes.push_back(size);
  }
  return sizes;
}

OpResults translate_resize(OpContext& op) {
  const Output x = op.input("x");
  const std::vector<TargetSize> sizes = shape_sizes(op, x);
  const SamplingMode mode = read_sampling_mode(op);
  const std::string interpolation = op.string("interpolation_mode", "LINEAR");
  if (interpolation == "NEAREST_NEIGHBOR") {
    switch (mode) {
      case SamplingMode::kStrictAlignCorners:
        return resize_nearest(x, sizes, NearestRule::kAlignCorners);
      case SamplingMode::kAlignCorners:
        return resize_nearest(x, sizes, NearestRule::kAlignCorners, /*center_single=*/true);
      case SamplingMode::kOffsetCorners:
        return resize_nearest(x, sizes, NearestRule::kOffset);
      default:
        // coremltools lowers TensorFlow's half_pixel_centers to DEFAULT, and its tests show that
        // rule.
        return resize_nearest(x, sizes, NearestRule::kCenter);
    }
  }
  op.require(interpolation == "LINEAR", "unknown interpolation_mode \"" + interpolation + "\"");
  if (!x.get_element_type().is_real()) op.fail_unsupported("linear interpolation of integers");
  return resize_linear(x, sizes, mode);
}

OpResults translate_crop(OpContext& op) {
  Output x = op.input("x");
  require_image(op, x);
  const char* names[] = {"crop_height", "crop_width"};
  for (int64_t i = 0; i < 2; ++i) {
    const std::vector<int64_t> crop = op.integers(names[i]);
    op.require(crop.size() == 2 && crop[0] >= 0 && crop[1] >= 0,
               std::string(names[i]) + " needs two numbers that are not negative");
    const int64_t axis = rank(x) - 2 + i, in = extent(x, axis);
    op.require(in < 0 || checked_sum(crop[0], crop[1]) <= in,
               std::string(names[i]) + " removes more than there is");
    if (crop[0] == 0 && crop[1] == 0) continue;
    x = slice(x, axis, crop[0], crop[1] == 0 ? std::numeric_limits<int64_t>::max() : -crop[1]);
  }
  return x;
}

// iOS 15: boxes [n, B, 4], scores [n, B, K] and a count; iOS 17: both with the boxes last, no score
// threshold, no count.
OpResults translate_non_maximum_suppression(OpContext& op) {
  const bool boxes_last = op.opset() >= Opset::kCoreML7 && op.output_count() == 3;
  Output boxes = op.input("boxes"), scores = op.input("scores");
  op.require(rank(boxes) == 3 && rank(scores) == 3, "boxes and scores need rank 3");
  if (boxes_last) {
    boxes = transpose(boxes, {0, 2, 1});
    scores = transpose(scores, {0, 2, 1});
  }
  const int64_t max_boxes = op.integer("max_boxes");
  op.require(max_boxes >= 0 && max_boxes <= kMaximumExtent, "max_boxes is out of range");
  const float score_threshold = op.real("score_threshold", -std::numeric_limits<float>::infinity());
  ov::OutputVector results =
      make_all<NonMaximumSuppression>(boxes, scores, op.real("iou_threshold"), score_threshold,
                                      max_boxes, op.boolean("per_class_suppression", false));
  if (boxes_last) {
    results.pop_back();
    results[0] = transpose(results[0], {0, 2, 1});
    results[1] = transpose(results[1], {0, 2, 1});
  }
  return results;
}

}  // namespace

OpTable image_ops() {
  static constexpr OpEntry kOps[] = {
      {"affine", translate_affine},
      {"crop", translate_crop, Rounding::kNone},
      {"crop_resize", translate_crop_resize},
      {"non_maximum_suppression", translate_non_maximum_suppression, Rounding::kNone},
      {"resample", translate_resample},
      {"resize", translate_resize},
      {"resize_bilinear", translate_resize_bilinear},
      {"resize_nearest_neighbor", translate_resize_nearest_neighbor, Rounding::kNone},
      {"upsample_bilinear", translate_upsample_bilinear},
      {"upsample_nearest_neighbor", translate_upsample_nearest_neighbor, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
