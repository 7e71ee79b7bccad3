#include "runtime/engine/portable/image_sampling.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "openvino/op/abs.hpp"
#include "openvino/op/broadcast.hpp"
#include "openvino/op/floor.hpp"
#include "openvino/op/floor_mod.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/greater_eq.hpp"
#include "openvino/op/grid_sample.hpp"
#include "openvino/op/less_eq.hpp"
#include "openvino/op/logical_and.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/minimum.hpp"
#include "openvino/op/range.hpp"
#include "openvino/op/round.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/sign.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/checked_math.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/resizing.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return text;
}

Output minimum(const Output& a, const Output& b) { return make<ov::op::v1::Minimum>(a, b); }
Output maximum(const Output& a, const Output& b) { return make<ov::op::v1::Maximum>(a, b); }
Output both(const Output& a, const Output& b) { return make<ov::op::v1::LogicalAnd>(a, b); }
Output clamp_between(const Output& x, const Output& low, const Output& high) {
  return minimum(maximum(x, low), high);
}

// Whether low <= x <= high; false for NaN.
Output within(const Output& x, const Output& low, const Output& high) {
  return both(make<ov::op::v1::GreaterEqual>(x, low), make<ov::op::v1::LessEqual>(x, high));
}

// An image [batch, channels, height, width] as pixels to be gathered.
class Pixels {
 public:
  explicit Pixels(const Output& image)
      : height_(convert(dimension_of(image, 2), ov::element::i32)),
        width_(convert(dimension_of(image, 3), ov::element::i32)),
        image_(image),
        batches_(convert(dimension_of(image, 0), ov::element::i32)) {
    // [batch * height * width, channels]
    const Output channels_last = transpose(image, {0, 2, 3, 1});
    pixels_ = reshape(channels_last, concat({i64({-1}), dimension_of(image, 1)}, 0));
    const Output one = i32_scalar(1);
    last_row_ = convert(subtract(height_, one), ov::element::f32);
    last_column_ = convert(subtract(width_, one), ov::element::f32);
  }

  // Extents minus one, f32 [1].
  const Output& last_row() const { return last_row_; }
  const Output& last_column() const { return last_column_; }
  // i32 [1].
  const Output& batches() const { return batches_; }
  const Output& height() const { return height_; }
  const Output& width() const { return width_; }

  // The pixels at f32 rows and columns that are whole numbers, and i32 batch indices, all of shapes
  // that broadcast to one: that shape with the channels appended. Points outside are moved inside,
  // so that nothing can make OpenVINO read elsewhere.
  Output at(const Output& batch, const Output& row, const Output& column) const {
    const Output zero = i32_scalar(0), one = i32_scalar(1);
    const auto index = [&](const Output& position, const Output& last, const Output& size) {
      const Output inside = convert(clamp_between(position, f32(0.0f), last), ov::element::i32);
      return clamp_between(inside, zero, subtract(size, one));
    };
    const Output b = clamp_between(batch, zero, subtract(batches_, one));
    const Output line = add(multiply(b, height_), index(row, last_row_, height_));
    const Output indices = add(multiply(line, width_), index(column, last_column_, width_));
    return make<ov::op::v8::Gather>(pixels_, indices_into(image_, {0, 2, 3}, indices),
                                    i64_scalar(0));
  }

 private:
  Output height_, width_, image_, batches_, pixels_, last_row_, last_column_;
};

Output append_axis(const Output& value) { return unsqueeze(value, {rank(value)}); }

// What lies outside the image.
struct Outside {
  bool is_constant = false;  // Otherwise the points have been moved inside.
  float value = 0.0f;
};

Output fetch(const Pixels& pixels, const Outside& outside, const Output& batch, const Output& row,
             const Output& column) {
  const Output pixel = pixels.at(batch, row, column);
  if (!outside.is_constant) return pixel;
  const Output zero = f32(0.0f);
  const Output inside =
      both(within(row, zero, pixels.last_row()), within(column, zero, pixels.last_column()));
  return make<ov::op::v1::Select>(append_axis(inside), pixel, f32(outside.value));
}

Output sample_bilinear(const Pixels& pixels, const Outside& outside, const Output& batch,
                       const Output& row, const Output& column) {
  const Output one = f32(1.0f);
  const Output top = make<ov::op::v0::Floor>(row), left = make<ov::op::v0::Floor>(column);
  const Output bottom = add(top, one), right = add(left, one);
  const Output down = append_axis(subtract(row, top)), across = append_axis(subtract(column, left));
  const Output up = subtract(one, down), back = subtract(one, across);
  const auto mix = [&](const Output& line) {
    return add(multiply(fetch(pixels, outside, batch, line, left), back),
               multiply(fetch(pixels, outside, batch, line, right), across));
  };
  return add(multiply(mix(top), up), multiply(mix(bottom), down));
}

Output sample_nearest(const Pixels& pixels, const Outside& outside, const Output& batch,
                      const Output& row, const Output& column) {
  const auto nearest = [](const Output& x) {
    return make<ov::op::v5::Round>(x, ov::op::v5::Round::RoundMode::HALF_TO_EVEN);
  };
  return fetch(pixels, outside, batch, nearest(row), nearest(column));
}

// Mirrors x at low and at high, again and again. The same point everywhere when they are equal.
Output reflect(const Output& x, const Output& low, const Output& high) {
  const Output span = subtract(high, low);
  const Output period = maximum(multiply(span, f32(2.0f)), f32(1e-6f));
  const Output distance = make<ov::op::v0::Abs>(subtract(x, low));
  const Output phase = make<ov::op::v1::FloorMod>(distance, period);
  return add(low, minimum(clamp_between(phase, f32(0.0f), period),
                          maximum(subtract(period, phase), f32(0.0f))));
}

}  // namespace

// --- resample ---

OpResults translate_resample(OpContext& op) {
  const Output x = op.input("x");
  const Output coordinates = convert(op.input("coordinates"), ov::element::f32);
  op.require(rank(x) == 4 && rank(coordinates) == 4, "x and coordinates need rank 4");
  op.require(extent(coordinates, 3) < 0 || extent(coordinates, 3) == 2,
             "the last extent of coordinates must be 2");
  const std::string sampling = lower(op.string("sampling_mode")),
                    padding = lower(op.string("padding_mode"));
  const std::string space = lower(op.string("coordinates_mode"));
  const bool align = op.boolean("align_corners");
  op.require(sampling == "bilinear" || sampling == "nearest",
             "unknown sampling_mode \"" + sampling + "\"");
  const float padding_value = padding == "constant" ? op.real("padding_value", 0.0f) : 0.0f;

  // The combinations that OpenVINO's GridSample has.
  using GridSample = ov::op::v9::GridSample;
  if (space == "normalized_minus_one_to_one") {
    const bool zeros = padding == "constant" && padding_value == 0.0f;
    const bool mirror = (padding == "reflection" && align) || (padding == "symmetric" && !align);
    if (zeros || padding == "border" || mirror) {
      const GridSample::Attributes attributes(align,
                                              sampling == "bilinear"
                                                  ? GridSample::InterpolationMode::BILINEAR
                                                  : GridSample::InterpolationMode::NEAREST,
                                              zeros    ? GridSample::PaddingMode::ZEROS
                                              : mirror ? GridSample::PaddingMode::REFLECTION
                                                       : GridSample::PaddingMode::BORDER);
      return make<GridSample>(x, unless_empty(x, {2, 3}, coordinates), attributes);
    }
  }

  const Pixels pixels(x);
  const auto denormalize = [&](int64_t component, const Output& size, const Output& last) {
    const Output c = squeeze(slice(coordinates, 3, component, component + 1), {3});
    const Output extent_value = convert(size, ov::element::f32), half = f32(0.5f), one = f32(1.0f);
    if (space == "unnormalized") return c;
    if (space == "normalized_zero_to_one") {
      return align ? multiply(c, last) : subtract(multiply(c, extent_value), half);
    }
    op.require(space == "normalized_minus_one_to_one",
               "unknown coordinates_mode \"" + space + "\"");
    const Output positive = add(c, one);
    return align ? multiply(multiply(positive, half), last)
                 : multiply(subtract(multiply(positive, extent_value), one), half);
  };
  Output column = denormalize(0, pixels.width(), pixels.last_column());
  Output row = denormalize(1, pixels.height(), pixels.last_row());
  Outside outside;
  const Output zero = f32(0.0f), half = f32(0.5f);
  if (padding == "constant") {
    outside = {true, padding_value};
  } else if (padding == "border") {
    row = clamp_between(row, zero, pixels.last_row());
    column = clamp_between(column, zero, pixels.last_column());
  } else if (padding == "reflection") {
    row = reflect(row, zero, pixels.last_row());
    column = reflect(column, zero, pixels.last_column());
  } else if (padding == "symmetric") {
    const Output edge = f32(-0.5f);
    row = clamp_between(reflect(row, edge, add(pixels.last_row(), half)), zero, pixels.last_row());
    column = clamp_between(reflect(column, edge, add(pixels.last_column(), half)), zero,
                           pixels.last_column());
  } else {
    op.fail("unknown padding_mode \"" + padding + "\"");
  }
  const Output batches =
      make<ov::op::v4::Range>(i32_scalar(0), reshape(pixels.batches(), std::vector<int64_t>{}),
                              i32_scalar(1), ov::element::i32);
  const Output batch = reshape(batches, {-1, 1, 1});
  const Output y = sampling == "bilinear" ? sample_bilinear(pixels, outside, batch, row, column)
                                          : sample_nearest(pixels, outside, batch, row, column);
  return transpose(y, {0, 3, 1, 2});
}

// --- affine ---

OpResults translate_affine(OpContext& op) {
  const Output x = op.input("x"), matrix = convert(op.input("transform_matrix"), ov::element::f32);
  op.require(rank(x) == 4, "x needs rank 4");
  op.require(rank(matrix) == 2 && (extent(matrix, 1) < 0 || extent(matrix, 1) == 6),
             "transform_matrix must be [D, 6]");
  const int64_t height = op.integer("output_height"), width = op.integer("output_width");
  op.require(height >= 1 && width >= 1 && checked_product(height, width) <= (int64_t{1} << 28),
             "the output's extents are out of range");
  if (lower(op.string("sampling_mode", "bilinear")) != "bilinear")
    op.fail_unsupported("a sampling_mode other than bilinear");
  if (lower(op.string("padding_mode", "constant")) != "constant" ||
      op.real("padding_value", 0.0f) != 0.0f) {
    op.fail_unsupported("padding other than the constant 0");
  }
  if (lower(op.string("coordinates_mode", "normalized_minus_one_to_one")) !=
      "normalized_minus_one_to_one") {
    op.fail_unsupported("a coordinates_mode other than normalized_minus_one_to_one");
  }
  if (!op.boolean("align_corners", true)) op.fail_unsupported("align_corners = false");
  // One row (x, y, 1) per output pixel.
  const auto position = [](int64_t i, int64_t size) {
    return size == 1 ? 0.0f
                     : static_cast<float>(-1.0 + 2.0 * static_cast<double>(i) /
                                                     static_cast<double>(size - 1));
  };
  TranslationBudget::charge(static_cast<uint64_t>(height * width), 3 * sizeof(float));
  std::vector<float> points;
  points.reserve(static_cast<size_t>(height * width * 3));
  for (int64_t row = 0; row < height; ++row) {
    for (int64_t column = 0; column < width; ++column) {
      points.push_back(position(column, width));
      points.push_back(position(row, height));
      points.push_back(1.0f);
    }
  }
  // [D, 2, 3] applied to all points: [D, height * width, 2].
  Output grid = make<ov::op::v0::MatMul>(f32_constant(points, {1, height * width, 3}),
                                         reshape(matrix, {-1, 2, 3}), false, true);
  grid = reshape(grid, {-1, height, width, 2});
  if (extent(matrix, 0) != extent(x, 0) || extent(x, 0) < 0) {
    grid = make<ov::op::v3::Broadcast>(grid, concat({dimension_of(x, 0), i64({1, 1, 1})}, 0),
                                       ov::op::BroadcastType::BIDIRECTIONAL);
  }
  using GridSample = ov::op::v9::GridSample;
  return make<GridSample>(x, unless_empty(x, {2, 3}, grid),
                          GridSample::Attributes(true, GridSample::InterpolationMode::BILINEAR,
                                                 GridSample::PaddingMode::ZEROS));
}

// --- crop_resize ---

namespace {

// The sampled positions along one axis of each box: [boxes, count].
Output box_grid(SamplingMode mode, const Output& start, const Output& end, int64_t count) {
  const float n = static_cast<float>(count);
  std::vector<float> counter(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) counter[static_cast<size_t>(i)] = static_cast<float>(i);
  const Output i = f32_constant(counter, {1, count}), one = f32(1.0f), half = f32(0.5f);
  const Output reach = subtract(end, start);
  if (mode == SamplingMode::kAlignCorners && count == 1) return multiply(add(start, end), half);
  if (mode == SamplingMode::kAlignCorners || mode == SamplingMode::kStrictAlignCorners) {
    return add(start, multiply(i, exact_divide(reach, f32(std::max(n - 1.0f, 1.0f)))));
  }
  // The others walk from start towards end, over reach + 1 pixels.
  const Output distance = make<ov::op::v0::Abs>(reach);
  const Output towards =
      make<ov::op::v0::Sign>(add(make<ov::op::v0::Sign>(reach), half));  // 1 for an empty reach.
  Output offset;
  if (mode == SamplingMode::kDefault) {
    offset = multiply(i, exact_divide(add(distance, one), f32(n)));
  } else if (mode == SamplingMode::kOffsetCorners) {
    offset = multiply(add(i, half), exact_divide(maximum(distance, one), f32(n)));
  } else {
    offset = subtract(multiply(add(i, half), exact_divide(add(distance, one), f32(n))), half);
  }
  return add(start, multiply(towards, clamp_between(offset, f32(0.0f), distance)));
}

}  // namespace

OpResults translate_crop_resize(OpContext& op) {
  const Output x = op.input("x");
  op.require(rank(x) == 4, "x needs rank 4");
  const int64_t height = op.integer("target_height", 1), width = op.integer("target_width", 1);
  op.require(height >= 1 && width >= 1 && height <= (1 << 24) && width <= (1 << 24),
             "the target extents are out of range");
  const SamplingMode mode = read_sampling_mode(op);
  const std::string box_mode = op.string("box_coordinate_mode", "CORNERS_HEIGHT_FIRST");
  const bool corners = box_mode.starts_with("CORNERS"),
             height_first = box_mode.ends_with("HEIGHT_FIRST");
  op.require(box_mode == "CORNERS_HEIGHT_FIRST" || box_mode == "CORNERS_WIDTH_FIRST" ||
                 box_mode == "CENTER_SIZE_HEIGHT_FIRST" || box_mode == "CENTER_SIZE_WIDTH_FIRST",
             "unknown box_coordinate_mode \"" + box_mode + "\"");

  // boxes: [n, 4]. From iOS 17 on with the image of each box; before, roi may begin with it, and
  // else all images are cropped.
  Output boxes, box_indices;
  const bool is_roi = op.has("roi");
  bool all_images = false;
  if (is_roi) {
    const Output roi = convert(op.input("roi"), ov::element::f32);
    op.require(rank(roi) == 5, "roi needs rank 5");
    const int64_t values = extent(roi, 2);
    op.require(values == 4 || values == 5, "roi must be [n, 1, 4 or 5, 1, 1]");
    boxes = reshape(roi, {-1, values});
    all_images = values == 4;
    if (!all_images) {
      box_indices = convert(slice(boxes, 1, 0, 1), ov::element::i32);
      boxes = slice(boxes, 1, 1, 5);
    }
  } else {
    boxes = convert(op.input("boxes"), ov::element::f32);
    op.require(rank(boxes) == 2 && (extent(boxes, 1) < 0 || extent(boxes, 1) == 4),
               "boxes must be [n, 4]");
    if (op.has("box_indices")) {
      box_indices = reshape(convert(op.input("box_indices"), ov::element::i32), {-1, 1});
    } else {
      const Output count = convert(dimension_of(boxes, 0), ov::element::i32);
      box_indices =
          reshape(make<ov::op::v4::Range>(i32_scalar(0), reshape(count, std::vector<int64_t>{}),
                                          i32_scalar(1), ov::element::i32),
                  {-1, 1});
    }
  }

  const Pixels pixels(x);
  const auto component = [&](int64_t index) {
    return slice(boxes, 1, index, index + 1);
  };  // [n, 1]
  Output row_start = component(height_first ? 0 : 1),
         column_start = component(height_first ? 1 : 0);
  Output row_end = component(height_first ? 2 : 3), column_end = component(height_first ? 3 : 2);
  if (!corners) {
    const auto to_corners = [](Output& start, Output& end) {
      const Output center = start, reach = multiply(end, f32(0.5f));
      start = subtract(center, reach);
      end = add(center, reach);
    };
    to_corners(row_start, row_end);
    to_corners(column_start, column_end);
  }
  const float scale = op.real("spatial_scale", 1.0f);
  const bool normalized = op.boolean("normalized_coordinates", false);
  const auto to_pixels = [&](Output value, const Output& last) {
    if (scale != 1.0f) value = multiply(value, f32(scale));
    return normalized ? multiply(value, last) : value;
  };
  Output rows = box_grid(mode, to_pixels(row_start, pixels.last_row()),
                         to_pixels(row_end, pixels.last_row()), height);
  Output columns = box_grid(mode, to_pixels(column_start, pixels.last_column()),
                            to_pixels(column_end, pixels.last_column()), width);

  // [n, images, height, width]; one image per box, or all.
  rows = unsqueeze(rows, {1, 3});
  columns = unsqueeze(columns, {1, 2});
  Output batch;
  if (all_images) {
    batch = reshape(
        make<ov::op::v4::Range>(i32_scalar(0), reshape(pixels.batches(), std::vector<int64_t>{}),
                                i32_scalar(1), ov::element::i32),
        {1, -1, 1, 1});
  } else {
    batch = unsqueeze(box_indices, {2, 3});
  }
  const Output zero = f32(0.0f);
  const Output inside = append_axis(
      both(within(rows, zero, pixels.last_row()), within(columns, zero, pixels.last_column())));
  const Output crops =
      make<ov::op::v1::Select>(inside, sample_bilinear(pixels, Outside(), batch, rows, columns),
                               f32(op.real("pad_value", 0.0f)));
  const Output result = transpose(crops, {0, 1, 4, 2, 3});
  return is_roi ? result : squeeze(result, {1});
}

}  // namespace coreml_delegate::engine::portable
