// conv, conv_quantized, conv_transpose.

#include <algorithm>
#include <string>
#include <vector>

#include "openvino/op/convolution.hpp"
#include "openvino/op/group_conv.hpp"
#include "runtime/engine/portable/checked_math.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

ov::CoordinateDiff as_pads(const std::vector<int64_t>& values) {
  return ov::CoordinateDiff(values.begin(), values.end());
}

// The rank of x, which weight shares: [n, channels, 1 to 3 spatial axes].
int64_t checked_rank(const OpContext& op, const Output& x, const Output& weight) {
  const int64_t x_rank = rank(x);
  op.require(x_rank >= 3 && x_rank <= 5,
             "x needs rank 3, 4 or 5, but has " + std::to_string(x_rank));
  op.require(rank(weight) == x_rank, "weight needs the rank of x");
  return x_rank;
}

// [groups, extent(0) / groups, rest] for OpenVINO's grouped forms.
Output split_groups(const OpContext& op, const Output& weight, int64_t groups) {
  std::vector<int64_t> shape = extents(weight);
  for (int64_t size : shape)
    op.require(size > 0, "a grouped convolution needs a weight of known, non-zero extents");
  op.require(shape[0] % groups == 0, "the first extent of weight is not divisible by groups");
  shape[0] /= groups;
  shape.insert(shape.begin(), groups);
  return reshape(weight, shape);
}

Output add_bias(const OpContext& op, const Output& y, int64_t y_rank) {
  if (!op.has("bias") || is_all_zero(op, "bias")) return y;
  const Output bias = op.input("bias");
  op.require(rank(bias) <= 1, "bias needs rank 1");
  return add(y, per_channel(convert(bias, y.get_element_type()), y_rank));
}

ov::op::PadType auto_pad(const Window& window) {
  switch (window.pad_type) {
    case Window::PadType::kSame:
      return ov::op::PadType::SAME_UPPER;
    case Window::PadType::kSameLower:
      return ov::op::PadType::SAME_LOWER;
    default:
      return ov::op::PadType::EXPLICIT;
  }
}

Output convolve(const OpContext& op, const Output& x, const Output& weight) {
  const int64_t x_rank = checked_rank(op, x, weight);
  const Window window = read_window(op, x_rank - 2);
  const int64_t groups = op.integer("groups", 1);
  op.require(groups >= 1, "groups must be positive");
  if (groups == 1) {
    return make<ov::op::v1::Convolution>(x, weight, as_strides(window.strides),
                                         as_pads(window.pads_begin), as_pads(window.pads_end),
                                         as_strides(window.dilations), auto_pad(window));
  }
  return make<ov::op::v1::GroupConvolution>(
      x, split_groups(op, weight, groups), as_strides(window.strides), as_pads(window.pads_begin),
      as_pads(window.pads_end), as_strides(window.dilations), auto_pad(window));
}

OpResults translate_conv(OpContext& op) {
  const Output x = op.input("x");
  const Output weight = convert(op.input("weight"), x.get_element_type());
  return add_bias(op, convolve(op, x, weight), rank(x));
}

// weight = quantized * scale + bias, per tensor or per output channel.
OpResults translate_conv_quantized(OpContext& op) {
  const Output x = op.input("x");
  const std::string type = op.string("quantization_type");
  if (type != "linear")
    op.fail_unsupported("quantization_type \"" + type + "\"; only \"linear\" is");
  if (op.integer("nbits", 8) != 8) op.fail_unsupported("nbits other than 8");
  Output weight = convert(op.input("weight"), x.get_element_type());
  checked_rank(op, x, weight);
  const auto per_output_channel = [&](std::string_view name) {
    const Output value = convert(op.input(name), x.get_element_type());
    std::vector<int64_t> shape(static_cast<size_t>(rank(weight)), 1);
    shape[0] = -1;
    return reshape(value, shape);
  };
  weight =
      add(multiply(weight, per_output_channel("quant_scale")), per_output_channel("quant_bias"));
  return add_bias(op, convolve(op, x, weight), rank(x));
}

// Pads and the rows to append along one spatial axis of a transposed convolution.
struct TransposedAxis {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t append = 0;
};

OpResults translate_conv_transpose(OpContext& op) {
  const Output x = op.input("x");
  const Output weight = convert(op.input("weight"), x.get_element_type());
  const int64_t x_rank = checked_rank(op, x, weight);
  const size_t n = static_cast<size_t>(x_rank - 2);
  const Window window = read_window(op, x_rank - 2);
  const int64_t groups = op.integer("groups", 1);
  op.require(groups >= 1, "groups must be positive");
  std::vector<int64_t> output_shape = op.integers("output_shape", {});
  op.require(output_shape.empty() || output_shape.size() == n + 2,
             "output_shape needs the rank of x");

  std::vector<TransposedAxis> axes(n);
  for (size_t i = 0; i < n; ++i) {
    const int64_t kernel = extent(weight, static_cast<int64_t>(i) + 2);
    op.require(kernel >= 1, "conv_transpose needs a weight of known, non-zero spatial extents");
    const int64_t reach = checked_sum(checked_product(kernel - 1, window.dilations[i]), 1);
    // How much of the full result, (input - 1) * stride + reach, is cut away; negative where rows
    // of zeros are appended. Where the output is not given it does not depend on the input's
    // extent.
    int64_t cut = 0;
    if (!output_shape.empty()) {
      const int64_t input = extent(x, static_cast<int64_t>(i) + 2);
      if (input < 0) op.fail_unsupported("output_shape with an input of unknown spatial extents");
      cut = checked_difference(checked_sum(checked_product(input - 1, window.strides[i]), reach),
                               output_shape[i + 2]);
    } else if (window.pad_type == Window::PadType::kSame ||
               window.pad_type == Window::PadType::kSameLower) {
      cut = reach - window.strides[i];  // The output has input * stride elements.
    } else {
      cut = window.pads_begin[i] + window.pads_end[i];
    }
    TransposedAxis& axis = axes[i];
    if (window.pad_type == Window::PadType::kSame) {
      axis.begin = std::max<int64_t>(cut, 0) / 2;
    } else if (window.pad_type == Window::PadType::kSameLower) {
      axis.begin = (std::max<int64_t>(cut, 0) + 1) / 2;
    } else {
      axis.begin = window.pads_begin[i];
    }
    axis.end = std::max<int64_t>(checked_difference(cut, axis.begin), 0);
    axis.append = std::max<int64_t>(checked_difference(axis.begin, cut), 0);
  }
  ov::CoordinateDiff pads_begin, pads_end, append;
  for (const TransposedAxis& axis : axes) {
    pads_begin.push_back(axis.begin);
    pads_end.push_back(axis.end);
    append.push_back(axis.append);
  }
  Output y;
  if (groups == 1) {
    y = make<ov::op::v1::ConvolutionBackpropData>(x, weight, as_strides(window.strides), pads_begin,
                                                  pads_end, as_strides(window.dilations),
                                                  ov::op::PadType::EXPLICIT, append);
  } else {
    y = make<ov::op::v1::GroupConvolutionBackpropData>(
        x, split_groups(op, weight, groups), as_strides(window.strides), pads_begin, pads_end,
        as_strides(window.dilations), ov::op::PadType::EXPLICIT, append);
  }
  return add_bias(op, y, x_rank);
}

}  // namespace

OpTable conv_ops() {
  static constexpr OpEntry kOps[] = {
      {"conv", translate_conv},
      {"conv_quantized", translate_conv_quantized},
      {"conv_transpose", translate_conv_transpose},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
