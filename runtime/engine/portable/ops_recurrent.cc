// lstm, gru, rnn: the products of the inputs as one product of matrices, then a RecurrentLayer.
//
// x is [steps, batch, features]. A "reverse" layer processes x from its end, and its output
// sequence is in the order of processing: the layer on the reversed x. Only the backward half of a
// bidirectional lstm puts its outputs back into the order of x.

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "base/half.h"
#include "openvino/op/constant.hpp"
#include "openvino/op/matmul.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/recurrent_layer.h"

namespace coreml_delegate::engine::portable {
namespace {

using Direction = RecurrentLayer::Direction;

RecurrentActivation read_activation(const OpContext& op, std::string_view parameter,
                                    std::string_view default_value) {
  std::string name = op.string(parameter, default_value);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  // scaled_tanh has no parameters here, so its scales are one.
  if (name == "tanh" || name == "scaled_tanh") return RecurrentActivation::kTanh;
  if (name == "sigmoid") return RecurrentActivation::kSigmoid;
  if (name == "relu") return RecurrentActivation::kRelu;
  if (name == "hard_sigmoid" || name == "sigmoid_hard") return RecurrentActivation::kHardSigmoid;
  if (name == "linear") return RecurrentActivation::kLinear;
  op.fail_unsupported(std::string(parameter) + " \"" + name + "\"");
}

Direction read_direction(const OpContext& op) {
  const std::string direction = op.string("direction", "forward");
  if (direction == "reverse") return Direction::kReverse;
  op.require(direction == "forward", "unknown direction \"" + direction + "\"");
  return Direction::kForward;
}

// The weights of one direction. Rows are [gates * hidden], gates in MIL's order.
struct Weights {
  int64_t input = 0;
  int64_t hidden = 0;
  std::vector<float> input_hidden;   // [gates * hidden, input]
  std::vector<float> hidden_hidden;  // [gates * hidden, hidden]
  std::vector<float> bias;           // [gates * hidden]
};

Weights read_weights(const OpContext& op, const Output& x, int64_t gates,
                     const std::string& suffix = "") {
  op.require(rank(x) == 3, "x needs rank 3");
  const auto constant_shape = [&](const std::string& name) {
    const Output value = op.input(name);
    op.require(rank(value) == 2 && is_static(value), name + " needs rank 2 and known extents");
    return extents(value);
  };
  Weights weights;
  const std::vector<int64_t> ih = constant_shape("weight_ih" + suffix),
                             hh = constant_shape("weight_hh" + suffix);
  weights.input = ih[1];
  weights.hidden = hh[1];
  op.require(
      ih[1] > 0 && hh[1] > 0 && hh[0] == gates * hh[1] && ih[0] == hh[0],
      "the extents of weight_ih" + suffix + " and weight_hh" + suffix + " do not fit each other");
  op.require(extent(x, 2) < 0 || extent(x, 2) == weights.input,
             "the features of x and weight_ih" + suffix + " differ");
  weights.input_hidden = op.reals("weight_ih" + suffix);
  weights.hidden_hidden = op.reals("weight_hh" + suffix);
  const size_t rows = static_cast<size_t>(hh[0]);
  weights.bias = op.reals("bias" + suffix, std::vector<float>(rows, 0.0f));
  op.require(weights.bias.size() == rows,
             "bias" + suffix + " needs one element per row of the weights");
  return weights;
}

// Blocks of `values` (`order.size()` equal parts) in another order.
std::vector<float> reordered(const std::vector<float>& values, const std::vector<size_t>& order) {
  const size_t block = values.size() / order.size();
  std::vector<float> result;
  result.reserve(values.size());
  for (const size_t part : order) {
    result.insert(result.end(), values.begin() + static_cast<ptrdiff_t>(part * block),
                  values.begin() + static_cast<ptrdiff_t>((part + 1) * block));
  }
  return result;
}

void append(std::vector<float>& target, const std::vector<float>& values) {
  target.insert(target.end(), values.begin(), values.end());
}

// A layer under construction: what each direction adds, gates in the kernel's order.
struct LayerWeights {
  std::vector<float> input_hidden, packed, bias, peephole;

  void add(const RecurrentLayerShape& shape, const Weights& weights,
           const std::vector<size_t>& order) {
    append(input_hidden, reordered(weights.input_hidden, order));
    append(bias, pad_recurrent_rows(shape, reordered(weights.bias, order)));
    const auto size = static_cast<size_t>(shape.weights_size());
    packed.resize(packed.size() + size);
    pack_recurrent_weights(shape, reordered(weights.hidden_hidden, order).data(),
                           packed.data() + packed.size() - size);
  }
};

// Weights of a direction from which on float16 is faster: they do not fit into a second-level cache.
// Smaller ones are read faster than they are widened.
constexpr int64_t kFewestHalfWeights = int64_t{1} << 18;

// float16 where that holds them all, the kernel takes it and it is faster.
Output weights_constant(const std::vector<float>& packed, int64_t directions, bool* are_half) {
  *are_half = recurrent_kernel().takes_half_weights &&
              static_cast<int64_t>(packed.size()) / directions >= kFewestHalfWeights &&
              std::all_of(packed.begin(), packed.end(),
                          [](float value) { return half_to_float(float_to_half(value)) == value; });
  const auto rows = static_cast<size_t>(directions);
  if (!*are_half)
    return f32_constant(packed, {directions, static_cast<int64_t>(packed.size() / rows)});
  std::vector<uint16_t> halves(packed.size());
  float_to_half(packed.data(), halves.data(), packed.size());
  const size_t size = halves.size() * sizeof(uint16_t);
  return make<ov::op::v0::Constant>(ov::element::u8, ov::Shape{rows, size / rows}, halves.data());
}

// The first output of every recurrent operation is the whole sequence, or the last state as a
// sequence of one; the last states follow. `input_bias` [directions * gates * hidden] may be empty.
OpResults make_layer(const OpContext& op, const Output& x, int64_t input,
                     const LayerWeights& weights, const std::vector<float>& input_bias,
                     const ov::OutputVector& initial, RecurrentLayer::Attributes attributes) {
  const RecurrentLayerShape& shape = attributes.shape;
  const int64_t directions = attributes.directions();
  const int64_t rows = directions * shape.gates() * shape.hidden;
  for (const Output& state : initial) {
    op.require(rank(state) == 2, "the initial states need rank 2");
    op.require(extent(state, 1) < 0 || extent(state, 1) == directions * shape.hidden,
               "the initial states need the hidden size of all directions");
  }
  const Output features = extent(x, 2) == input ? x : with_extent(x, 2, input);
  Output products = make<ov::op::v0::MatMul>(
      features, f32_constant(weights.input_hidden, {rows, input}), false, true);
  if (!input_bias.empty()) products = add(products, f32_constant(input_bias, {rows}));
  ov::OutputVector inputs = {
      products, weights_constant(weights.packed, directions, &attributes.has_half_weights),
      f32_constant(weights.bias, {directions, shape.gates() * shape.padded_units()})};
  // Without steps there is no last state: OpenVINO skips nodes that have nothing to read.
  inputs.push_back(unless_empty(x, {0}, initial[0]));
  inputs.insert(inputs.end(), initial.begin() + 1, initial.end());
  if (attributes.has_peephole)
    inputs.push_back(f32_constant(weights.peephole, {directions, 3 * shape.padded_units()}));
  ov::OutputVector results = make_all<RecurrentLayer>(inputs, attributes);
  if (!op.boolean("output_sequence", false)) results[0] = unsqueeze(results[1], {0});
  return results;
}

// MIL's gates: input, forget, output, cell.
OpResults translate_lstm(OpContext& op) {
  const Output x = op.input("x");
  const bool bidirectional = op.string("direction", "forward") == "bidirectional";
  RecurrentLayer::Attributes attributes;
  attributes.direction = bidirectional ? Direction::kBidirectional : read_direction(op);
  RecurrentLayerShape& shape = attributes.shape;
  shape.cell = RecurrentCell::kLstm;
  shape.gate = read_activation(op, "recurrent_activation", "sigmoid");
  shape.cell_activation = read_activation(op, "cell_activation", "tanh");
  shape.output = read_activation(op, "activation", "tanh");
  if (op.has("clip")) {
    shape.clip = op.real("clip");
    op.require(shape.clip >= 0.0f, "clip is negative");
  }
  const std::vector<std::string> suffixes =
      bidirectional ? std::vector<std::string>{"", "_back"} : std::vector<std::string>{""};
  for (const std::string& suffix : suffixes) {
    const std::string name = "peephole" + suffix;
    if (op.has(name) && !is_all_zero(op, name)) attributes.has_peephole = true;
  }
  LayerWeights all;
  int64_t input = 0;
  for (const std::string& suffix : suffixes) {
    const Weights weights = read_weights(op, x, 4, suffix);
    op.require(suffix.empty() || weights.hidden == shape.hidden,
               "the two directions differ in their hidden size");
    shape.hidden = weights.hidden;
    input = weights.input;
    all.add(shape, weights, {0, 1, 2, 3});
    if (!attributes.has_peephole) continue;
    const auto size = static_cast<size_t>(3 * shape.hidden);
    const std::vector<float> peephole =
        op.reals("peephole" + suffix, std::vector<float>(size, 0.0f));
    op.require(peephole.size() == size,
               "peephole" + suffix + " needs three elements per hidden unit");
    append(all.peephole, pad_recurrent_rows(shape, peephole));
  }
  return make_layer(op, x, input, all, {}, {op.input("initial_h"), op.input("initial_c")},
                    attributes);
}

// MIL's gates: reset, output, update; the kernel's: reset, update, output.
OpResults translate_gru(OpContext& op) {
  const Output x = op.input("x");
  RecurrentLayer::Attributes attributes;
  attributes.direction = read_direction(op);
  Weights weights = read_weights(op, x, 3);
  RecurrentLayerShape& shape = attributes.shape;
  shape.hidden = weights.hidden;
  shape.gate = read_activation(op, "recurrent_activation", "sigmoid");
  shape.output = read_activation(op, "activation", "tanh");
  // Whether the reset gate is applied to the state before its product with the weights, or to that
  // product (and its bias) after.
  const bool reset_after = op.boolean("reset_after", false);
  shape.cell = reset_after ? RecurrentCell::kGruResetAfter : RecurrentCell::kGru;
  const size_t rows = weights.bias.size();
  std::vector<float> input_bias = op.reals("input_bias", {});
  op.require(input_bias.empty() || input_bias.size() == rows,
             "input_bias needs one element per row of the weights");
  const std::vector<size_t> order = {0, 2, 1};
  if (reset_after && !input_bias.empty()) {
    input_bias = reordered(input_bias, order);
  } else {
    for (size_t i = 0; i < input_bias.size(); ++i) weights.bias[i] += input_bias[i];
    input_bias.clear();
  }
  LayerWeights all;
  all.add(shape, weights, order);
  return make_layer(op, x, weights.input, all, input_bias, {op.input("initial_h")}, attributes);
}

OpResults translate_rnn(OpContext& op) {
  const Output x = op.input("x");
  RecurrentLayer::Attributes attributes;
  attributes.direction = read_direction(op);
  const Weights weights = read_weights(op, x, 1);
  attributes.shape.hidden = weights.hidden;
  attributes.shape.output = read_activation(op, "activation", "tanh");
  LayerWeights all;
  all.add(attributes.shape, weights, {0});
  return make_layer(op, x, weights.input, all, {}, {op.input("initial_h")}, attributes);
}

}  // namespace

OpTable recurrent_ops() {
  static constexpr OpEntry kOps[] = {
      {"gru", translate_gru},
      {"lstm", translate_lstm},
      {"rnn", translate_rnn},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
