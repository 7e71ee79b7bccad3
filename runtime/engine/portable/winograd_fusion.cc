#include "runtime/engine/portable/winograd_fusion.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "openvino/op/add.hpp"
#include "openvino/op/clamp.hpp"
#include "openvino/op/concat.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/convolution.hpp"
#include "openvino/op/relu.hpp"
#include "openvino/op/transpose.hpp"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/winograd_convolution.h"
#include "runtime/engine/portable/winograd_kernel.h"

namespace coreml_delegate::engine::portable {
namespace {

using Convolution = ov::op::v1::Convolution;

// Dense weights: a constant of floats, converted to f32 or not. Null for others.
const ov::op::v0::Constant* dense_constant(const Output& value) {
  const ov::Node* node = value.get_node();
  if (dynamic_cast<const ov::op::v0::Convert*>(node) != nullptr) node = node->get_input_node_ptr(0);
  const auto* const constant = dynamic_cast<const ov::op::v0::Constant*>(node);
  const bool is_float = constant != nullptr && (constant->get_element_type() == ov::element::f32 ||
                                                constant->get_element_type() == ov::element::f16);
  return is_float ? constant : nullptr;
}

const std::vector<int64_t> kChannelsLast = {0, 2, 3, 1}, kChannelsSecond = {0, 3, 1, 2};

// Whether a value is the transposition of another by `permutation`.
bool is_transposed(const Output& value, const std::vector<int64_t>& permutation) {
  return dynamic_cast<const ov::op::v1::Transpose*>(value.get_node()) != nullptr &&
         fold_integers(value.get_node()->input_value(1)) == permutation;
}

// What several convolutions of one graph read, made once.
struct Shared {
  std::map<Output, Output> channels_last;
  std::map<const ov::Node*, Output> weights;  // By the constant that they were packed from.
};

// [n, height, width, channels] of a value [n, channels, height, width].
Output channels_last(const Output& value, Shared& shared) {
  Output& made = shared.channels_last[value];
  if (made.get_node() == nullptr) {
    made = transpose(value, kChannelsLast);
    made.get_node()->set_friendly_name(value.get_node()->get_friendly_name() + "/channels_last");
  }
  return made;
}

// Takes away what is transposed back and forth, which two of our convolutions in a row do. Other
// transpositions are dropped when the graph is compiled, where the node before or after them keeps
// its values in that order anyway, as OpenVINO's convolutions do.
void cancel_transpositions(Shared& shared) {
  for (auto& [value, transposed] : shared.channels_last) {
    const Output source = transposed.get_node()->input_value(0);
    if (is_transposed(source, kChannelsSecond))
      transposed.replace(source.get_node()->input_value(0));
  }
}

bool is_all(const std::vector<size_t>& values, size_t expected) {
  return std::all_of(values.begin(), values.end(), [&](size_t value) { return value == expected; });
}

// Results of about 12x12. On smaller ones, such as the 7x7 that end many networks, what takes the
// time is reading the weights, of which the transformed ones are more.
constexpr int64_t kFewestTiles = 36;
// Results of 256 columns. The kernel copies whole rows of its input for each part of them: on wider
// images that is more than it wins.
constexpr int64_t kMostTileColumns = 128;

// Whether the kernel takes the convolution and is faster than OpenVINO's.
bool is_suited(Convolution& convolution) {
  const Output x = convolution.input_value(0), weights = convolution.input_value(1);
  if (!is_static(x) || rank(x) != 4 || !is_static(weights) ||
      x.get_element_type() != ov::element::f32 || dense_constant(weights) == nullptr)
    return false;
  const std::vector<int64_t> kernel = extents(weights), input = extents(x),
                             result = extents(convolution.output(0));
  if (kernel[2] != 3 || kernel[3] != 3 || !is_all(convolution.get_strides(), 1) ||
      !is_all(convolution.get_dilations(), 1))
    return false;
  for (const auto& pads : {convolution.get_pads_begin(), convolution.get_pads_end()}) {
    for (const auto pad : pads) {
      if (pad < 0 || pad > 1) return false;
    }
  }
  // One row of results leaves half of each tile unused.
  const int64_t tile_rows = (result[2] + 1) / 2, tile_columns = (result[3] + 1) / 2;
  return input[0] > 0 && input[1] > 0 && input[1] % kWinogradInputBlock == 0 && kernel[0] > 0 &&
         kernel[0] % kWinogradOutputBlock == 0 && result[2] > 1 &&
         tile_columns <= kMostTileColumns && tile_rows * tile_columns >= kFewestTiles;
}

// The operand beside `value` of an addition; none when `value` is both.
std::optional<Output> other_operand(const ov::op::v1::Add& sum, const Output& value) {
  for (size_t i = 0; i < 2; ++i) {
    if (sum.input_value(i) == value && sum.input_value(1 - i) != value)
      return sum.input_value(1 - i);
  }
  return std::nullopt;
}

// The elements of a constant [1, channels, 1, 1] or [channels, 1, 1].
std::optional<std::vector<float>> bias_of(const Output& value, int64_t channels) {
  if (!is_static(value)) return std::nullopt;
  std::vector<int64_t> shape = extents(value);
  if (shape.size() == 4 && shape[0] == 1) shape.erase(shape.begin());
  if (shape != std::vector<int64_t>{channels, 1, 1}) return std::nullopt;
  const auto constant = fold(value);
  if (constant == nullptr) return std::nullopt;
  return constant->cast_vector<float>();
}

// Whether a value is concatenated with more than one other, as the layers of a DenseNet are. Where
// most of the values come with channels second, OpenVINO concatenates them so and brings the result
// back to its own order for the next convolution: more time than was won.
bool is_gathered(const Output& value) {
  for (const auto& user : value.get_target_inputs()) {
    if (dynamic_cast<const ov::op::v0::Concat*>(user.get_node()) != nullptr &&
        user.get_node()->get_input_size() > 2)
      return true;
  }
  return false;
}

// Sets the limits of a relu or clamp; false for another node.
bool set_limits(const ov::Node& node, WinogradConvolution::Attributes* attributes) {
  if (dynamic_cast<const ov::op::v0::Relu*>(&node) != nullptr) {
    attributes->has_lowest = true;
    return true;
  }
  const auto* const clamp = dynamic_cast<const ov::op::v0::Clamp*>(&node);
  if (clamp == nullptr) return false;
  attributes->has_lowest = attributes->has_highest = true;
  attributes->lowest = static_cast<float>(clamp->get_min());
  attributes->highest = static_cast<float>(clamp->get_max());
  return true;
}

void rewrite(Convolution& convolution, Shared& shared) {
  const Output x = convolution.input_value(0);
  const std::vector<int64_t> kernel = extents(convolution.input_value(1));
  const std::vector<int64_t> result = extents(convolution.output(0));
  WinogradConvolution::Attributes attributes;
  attributes.out_channels = kernel[0];
  attributes.pads_begin.assign(convolution.get_pads_begin().begin(),
                               convolution.get_pads_begin().end());
  attributes.pads_end.assign(convolution.get_pads_end().begin(), convolution.get_pads_end().end());

  // What follows, as far as nothing else reads the values between.
  Output replaced = convolution.output(0);
  std::vector<float> bias(static_cast<size_t>(kernel[0]), 0.0f);
  Output residual;
  if (auto* sum = dynamic_cast<ov::op::v1::Add*>(only_user(replaced))) {
    const auto other = other_operand(*sum, replaced);
    auto found = other ? bias_of(*other, kernel[0]) : std::nullopt;
    if (found) {
      bias = std::move(*found);
      replaced = sum->output(0);
    }
  }
  if (auto* sum = dynamic_cast<ov::op::v1::Add*>(only_user(replaced))) {
    const auto other = other_operand(*sum, replaced);
    if (other && is_static(*other) && extents(*other) == result) {
      residual = *other;
      replaced = sum->output(0);
    }
  }
  if (ov::Node* const user = only_user(replaced);
      user != nullptr && set_limits(*user, &attributes)) {
    replaced = user->output(0);
  }

  if (is_gathered(replaced)) return;

  const ov::op::v0::Constant* const constant = dense_constant(convolution.input_value(1));
  Output& weights = shared.weights[constant];
  if (weights.get_node() == nullptr) {
    weights = convert(WinogradConvolution::packed_weights(*constant)->output(0), ov::element::f32);
  }
  ov::OutputVector inputs = {channels_last(x, shared), weights, f32_vector(bias)};
  if (residual.get_node() != nullptr) inputs.push_back(channels_last(residual, shared));
  const Output node = make<WinogradConvolution>(inputs, attributes);
  const Output channels_second = transpose(node, kChannelsSecond);
  const std::string name = replaced.get_node()->get_friendly_name();
  node.get_node()->set_friendly_name(name);
  channels_second.get_node()->set_friendly_name(name + "/channels_second");
  replaced.replace(channels_second);
}

}  // namespace

void use_winograd_convolutions(const std::shared_ptr<ov::Model>& model) {
  Shared shared;
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    auto* const convolution = dynamic_cast<Convolution*>(node.get());
    if (convolution != nullptr && is_suited(*convolution)) rewrite(*convolution, shared);
  }
  cancel_transpositions(shared);
}

}  // namespace coreml_delegate::engine::portable
