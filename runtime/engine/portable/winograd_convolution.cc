#include "runtime/engine/portable/winograd_convolution.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "openvino/runtime/tensor.hpp"
#include "runtime/engine/portable/parallel.h"
#include "runtime/engine/portable/winograd_kernel.h"

namespace coreml_delegate::engine::portable {
namespace {

// How one image is divided.
struct Division {
  int64_t tile_parts = 1;
  int64_t block_parts = 1;  // Of the blocks of output channels.
};

// Parts come in multiples of this many tiles.
constexpr int64_t kTileUnit = 4;

// Parts whose transformed tiles stay in a core's second-level cache, as many for each thread. Each
// part of the tiles transforms all weights again and each part of the output channels all tiles, so
// that few tiles are not divided further.
Division divide(const WinogradShape& shape, int64_t images, int64_t threads) {
  constexpr int64_t kCachedElements = 8192, kFewTiles = 24;
  const int64_t tiles_per_part =
      std::clamp<int64_t>(kCachedElements / shape.in_channels, kFewTiles, 4 * kFewTiles);
  const int64_t threads_per_image = (threads + images - 1) / images;
  const auto rounded_up = [](int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  };
  Division division;
  division.tile_parts = (shape.tiles() + tiles_per_part - 1) / tiles_per_part;
  division.tile_parts = std::min(rounded_up(division.tile_parts, threads_per_image),
                                 std::max<int64_t>(1, shape.tiles() / kFewTiles));
  if (division.tile_parts < threads_per_image) {
    division.block_parts = std::min(
        shape.out_blocks(), (threads_per_image + division.tile_parts - 1) / division.tile_parts);
  }
  return division;
}

// The shape of a call with x of these extents, which validate_and_infer_types() has accepted.
WinogradShape shape_of_call(const WinogradConvolution::Attributes& attributes, const ov::Shape& x) {
  return {.in_channels = static_cast<int64_t>(x[3]),
          .out_channels = attributes.out_channels,
          .height = static_cast<int64_t>(x[1]),
          .width = static_cast<int64_t>(x[2]),
          .pad_top = attributes.pads_begin[0],
          .pad_bottom = attributes.pads_end[0],
          .pad_left = attributes.pads_begin[1],
          .pad_right = attributes.pads_end[1]};
}

}  // namespace

WinogradConvolution::WinogradConvolution(const ov::OutputVector& x_weights_bias_residual,
                                         Attributes attributes)
    : Op(x_weights_bias_residual), attributes_(std::move(attributes)) {
  constructor_validate_and_infer_types();
}

void WinogradConvolution::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, get_input_size() == 3 || get_input_size() == 4,
                        "WinogradConvolution takes x, weights, bias and possibly a residual");
  for (size_t i = 0; i < get_input_size(); ++i) {
    NODE_VALIDATION_CHECK(this, get_input_element_type(i) == ov::element::f32,
                          "WinogradConvolution takes f32");
    NODE_VALIDATION_CHECK(this, get_input_partial_shape(i).is_static(),
                          "WinogradConvolution takes values of known shape");
  }
  constexpr size_t kLargestExtent = size_t{1} << 30;
  const ov::Shape x = get_input_shape(0), weights = get_input_shape(1), bias = get_input_shape(2);
  NODE_VALIDATION_CHECK(
      this,
      x.size() == 4 && x[3] % kWinogradInputBlock == 0 &&
          std::all_of(x.begin(), x.end(),
                      [](size_t extent) { return extent > 0 && extent <= kLargestExtent; }),
      "x is [n, height, width, a multiple of 16 channels], not ", x);
  constexpr int64_t kLargestPad = 1 << 20;
  for (const auto* pads : {&attributes_.pads_begin, &attributes_.pads_end}) {
    NODE_VALIDATION_CHECK(this,
                          pads->size() == 2 && std::all_of(pads->begin(), pads->end(),
                                                           [](int64_t pad) {
                                                             return pad >= 0 && pad <= kLargestPad;
                                                           }),
                          "the padding is two numbers that are not negative");
  }
  NODE_VALIDATION_CHECK(
      this,
      attributes_.out_channels > 0 && attributes_.out_channels % kWinogradOutputBlock == 0 &&
          bias.size() == 1 && bias[0] == static_cast<size_t>(attributes_.out_channels),
      "there is a bias for each of the output channels, a multiple of 32");
  const WinogradShape shape = shape_of_call(attributes_, x);
  NODE_VALIDATION_CHECK(this,
                        weights == ov::Shape({static_cast<size_t>(shape.out_blocks()), x[3], 9,
                                              static_cast<size_t>(kWinogradOutputBlock)}),
                        "the weights are those of other channels: ", weights);
  NODE_VALIDATION_CHECK(this, shape.out_height() > 0 && shape.out_width() > 0,
                        "the window does not fit into ", x);
  const ov::Shape result = {x[0], static_cast<size_t>(shape.out_height()),
                            static_cast<size_t>(shape.out_width()), bias[0]};
  NODE_VALIDATION_CHECK(this, get_input_size() == 3 || get_input_shape(3) == result,
                        "the residual has another shape than the result");
  set_output_type(0, ov::element::f32, result);
}

std::shared_ptr<ov::Node> WinogradConvolution::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  return std::make_shared<WinogradConvolution>(inputs, attributes_);
}

bool WinogradConvolution::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("out_channels", attributes_.out_channels);
  visitor.on_attribute("pads_begin", attributes_.pads_begin);
  visitor.on_attribute("pads_end", attributes_.pads_end);
  visitor.on_attribute("has_lowest", attributes_.has_lowest);
  visitor.on_attribute("has_highest", attributes_.has_highest);
  visitor.on_attribute("lowest", attributes_.lowest);
  visitor.on_attribute("highest", attributes_.highest);
  return true;
}

bool WinogradConvolution::evaluate(ov::TensorVector& outputs,
                                   const ov::TensorVector& inputs) const {
  const WinogradKernel& kernel = winograd_kernel();
  const WinogradShape shape = shape_of_call(attributes_, inputs[0].get_shape());
  const int64_t images = static_cast<int64_t>(inputs[0].get_shape()[0]);
  const Division division = divide(shape, images, arena_threads());
  const int64_t x_size = shape.in_channels * shape.height * shape.width;
  const int64_t y_size = shape.out_channels * shape.out_height() * shape.out_width();
  const float* const x = inputs[0].data<const float>();
  const float* const residual = inputs.size() > 3 ? inputs[3].data<const float>() : nullptr;
  float* const y = outputs[0].data<float>();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();

  const int64_t parts_per_image = division.tile_parts * division.block_parts;
  const int64_t units = (shape.tiles() + kTileUnit - 1) / kTileUnit;
  parallel_for(images * parts_per_image, [&](int64_t index) {
    const int64_t image = index / parts_per_image;
    const int64_t block_part = index % parts_per_image / division.tile_parts;
    const int64_t tile_part = index % division.tile_parts;
    const WinogradPart part = {
        .tile_begin = units * tile_part / division.tile_parts * kTileUnit,
        .tile_end =
            std::min(shape.tiles(), units * (tile_part + 1) / division.tile_parts * kTileUnit),
        .out_block_begin = shape.out_blocks() * block_part / division.block_parts,
        .out_block_end = shape.out_blocks() * (block_part + 1) / division.block_parts,
    };
    const WinogradEpilogue epilogue = {
        .bias = inputs[2].data<const float>(),
        .residual = residual == nullptr ? nullptr : residual + image * y_size,
        .lowest = attributes_.has_lowest ? attributes_.lowest : -kInfinity,
        .highest = attributes_.has_highest ? attributes_.highest : kInfinity,
    };
    kernel.run(shape, part, epilogue, x + image * x_size, inputs[1].data<const float>(),
               y + image * y_size, thread_scratch(kernel.scratch_size(shape, part)));
  });
  return true;
}

std::shared_ptr<ov::Node> WinogradConvolution::packed_weights(const ov::op::v0::Constant& weights) {
  const ov::Shape& from = weights.get_shape();
  const size_t lanes = static_cast<size_t>(kWinogradOutputBlock), size = from[1] * 9;
  const size_t element = weights.get_element_type().size();
  ov::Tensor tensor(weights.get_element_type(), {from[0] / lanes, from[1], 9, lanes});
  const auto* const source = static_cast<const std::byte*>(weights.get_data_ptr());
  auto* const target = static_cast<std::byte*>(tensor.data());
  for (size_t out = 0; out < from[0]; ++out) {
    const size_t lane = out / lanes * size * lanes + out % lanes;
    for (size_t i = 0; i < size; ++i) {
      std::memcpy(target + (lane + i * lanes) * element, source + (out * size + i) * element,
                  element);
    }
  }
  return std::make_shared<ov::op::v0::Constant>(tensor);
}

}  // namespace coreml_delegate::engine::portable
