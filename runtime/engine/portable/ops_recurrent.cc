// lstm, gru, rnn.
//
// x is [steps, batch, features]. A "reverse" layer processes x from its end, and its output
// sequence is in the order of processing: the layer on the reversed x. Only the backward half of a
// bidirectional lstm puts its outputs back into the order of x.

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include "openvino/op/broadcast.hpp"
#include "openvino/op/clamp.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/gru_sequence.hpp"
#include "openvino/op/lstm_sequence.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/relu.hpp"
#include "openvino/op/rnn_sequence.hpp"
#include "openvino/op/shape_of.hpp"
#include "openvino/op/sigmoid.hpp"
#include "openvino/op/tanh.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/recurrent_loop.h"

namespace coreml_delegate::engine::portable {
namespace {

using ov::op::RecurrentSequenceDirection;

enum class Activation { kTanh, kSigmoid, kRelu, kHardSigmoid, kLinear };

Activation read_activation(const OpContext& op, std::string_view parameter,
                           std::string_view default_value) {
  std::string name = op.string(parameter, default_value);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  // scaled_tanh has no parameters here, so its scales are one.
  if (name == "tanh" || name == "scaled_tanh") return Activation::kTanh;
  if (name == "sigmoid") return Activation::kSigmoid;
  if (name == "relu") return Activation::kRelu;
  if (name == "hard_sigmoid" || name == "sigmoid_hard") return Activation::kHardSigmoid;
  if (name == "linear") return Activation::kLinear;
  op.fail_unsupported(std::string(parameter) + " \"" + name + "\"");
}

Output activate(Activation activation, const Output& x) {
  switch (activation) {
    case Activation::kTanh:
      return make<ov::op::v0::Tanh>(x);
    case Activation::kSigmoid:
      return make<ov::op::v0::Sigmoid>(x);
    case Activation::kRelu:
      return make<ov::op::v0::Relu>(x);
    case Activation::kHardSigmoid:
      return make<ov::op::v0::Clamp>(add(multiply(x, scalar_like(x, 0.2f)), scalar_like(x, 0.5)),
                                     0.0, 1.0);
    case Activation::kLinear:
      return x;
  }
  return x;
}

// The weights of one direction, gates in MIL's order.
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
      hh[1] > 0 && hh[0] == gates * hh[1] && ih[0] == hh[0],
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
void append_blocks(std::vector<float>& target, const std::vector<float>& values,
                   const std::vector<size_t>& order, size_t parts) {
  const size_t block = values.size() / parts;
  for (size_t part : order) {
    target.insert(target.end(), values.begin() + static_cast<ptrdiff_t>(part * block),
                  values.begin() + static_cast<ptrdiff_t>((part + 1) * block));
  }
}

bool is_reverse(const OpContext& op, const std::string& direction) {
  if (direction == "reverse") return true;
  op.require(direction == "forward", "unknown direction \"" + direction + "\"");
  return false;
}

// --- OpenVINO's sequence nodes: [batch, steps, features] in, [batch, directions, steps, hidden]
// out. ---

// Every sequence has all steps, said in the form in which OpenVINO recognises it for unknown
// extents too.
Output full_lengths(const Output& batch_first) {
  if (extent(batch_first, 0) >= 0 && extent(batch_first, 1) >= 0) {
    return i32_constant(std::vector<int32_t>(static_cast<size_t>(extent(batch_first, 0)),
                                             static_cast<int32_t>(extent(batch_first, 1))),
                        {extent(batch_first, 0)});
  }
  const Output shape = make<ov::op::v3::ShapeOf>(batch_first, ov::element::i64);
  const Output steps = make<ov::op::v8::Gather>(shape, i64({1}), i64_scalar(0));
  const Output batch = make<ov::op::v8::Gather>(shape, i64({0}), i64_scalar(0));
  return make<ov::op::v3::Broadcast>(steps, batch);
}

// [batch, directions * hidden] as [batch, directions, hidden].
Output split_directions(const Output& state, int64_t directions, int64_t hidden) {
  return reshape(state, {-1, directions, hidden});
}

Output merge_directions(const Output& state, int64_t directions, int64_t hidden) {
  return reshape(state, {-1, directions * hidden});
}

// [batch, directions, steps, hidden] as [steps, batch, directions * hidden].
Output steps_first(const Output& sequence, int64_t directions, int64_t hidden) {
  if (directions == 1) return transpose(squeeze(sequence, {1}), {1, 0, 2});
  return reshape_keeping(transpose(sequence, {2, 0, 1, 3}), {0, 0, directions * hidden});
}

// The first output of every recurrent operation: the whole sequence, or the last state as a
// sequence of one.
Output visible_sequence(const OpContext& op, const Output& sequence, const Output& last_state) {
  return op.boolean("output_sequence", false) ? sequence : unsqueeze(last_state, {0});
}

// x W^T + b for all steps at once: the part of a loop's steps that does not depend on the state.
Output project_input(const Output& x, const Weights& weights) {
  const int64_t rows = static_cast<int64_t>(weights.bias.size());
  const Output projected = make<ov::op::v0::MatMul>(
      x, f32_constant(weights.input_hidden, {rows, weights.input}), false, true);
  return add(projected, f32_constant(weights.bias, {rows}));
}

Output block_of(const Output& value, int64_t index, int64_t size) {
  return slice(value, 1, index * size, (index + 1) * size);
}

Output recurrent_product(const Output& h, const std::vector<float>& weights, int64_t rows,
                         int64_t hidden) {
  // A product with a single column is a multiplication. As a MatMul by a 1 x 1 constant OpenVINO
  // 2026.4 fails to compile it ("Layout rank can't be larger than tensor rank").
  if (hidden == 1) return multiply(h, f32_constant(weights, {1, rows}));
  return make<ov::op::v0::MatMul>(h, f32_constant(weights, {rows, hidden}), false, true);
}

// --- lstm. MIL's gates: input, forget, output, cell. ---

struct LstmAttributes {
  Activation gates, cell, output;
  bool has_clip = false;
  float clip = 0.0f;
};

struct LstmResult {
  Output sequence, h, c;
};

LstmResult lstm_loop(const OpContext& op, const Output& x, const Output& h0, const Output& c0,
                     const Weights& weights, const LstmAttributes& attributes,
                     const std::string& suffix, bool reverse, bool align) {
  const int64_t hidden = weights.hidden;
  const std::vector<float> peephole = op.reals("peephole" + suffix, {});
  op.require(peephole.empty() || peephole.size() == static_cast<size_t>(3 * hidden),
             "peephole" + suffix + " needs three elements per hidden unit");
  const auto peep = [&](int64_t gate, const Output& value, const Output& cell) {
    if (peephole.empty()) return value;
    const std::vector<float> part(peephole.begin() + gate * hidden,
                                  peephole.begin() + (gate + 1) * hidden);
    return add(value, multiply(cell, f32_constant(part, {1, hidden})));
  };
  RecurrentLoop loop;
  loop.steps = project_input(x, weights);
  loop.initial = {h0, c0};
  loop.reverse = reverse;
  loop.align_with_steps = align;
  loop.body = [&](const Output& step, const ov::OutputVector& states) {
    const Output sum =
        add(step, recurrent_product(states[0], weights.hidden_hidden, 4 * hidden, hidden));
    const Output i = activate(attributes.gates, peep(0, block_of(sum, 0, hidden), states[1]));
    const Output f = activate(attributes.gates, peep(1, block_of(sum, 1, hidden), states[1]));
    const Output z = activate(attributes.cell, block_of(sum, 3, hidden));
    Output c = add(multiply(f, states[1]), multiply(i, z));
    if (attributes.has_clip) c = make<ov::op::v0::Clamp>(c, -attributes.clip, attributes.clip);
    const Output o = activate(attributes.gates, peep(2, block_of(sum, 2, hidden), c));
    return ov::OutputVector{multiply(o, activate(attributes.output, c)), c};
  };
  const RecurrentOutputs outputs = build_recurrent_loop(loop);
  return {outputs.sequence, outputs.states[0], outputs.states[1]};
}

OpResults translate_lstm(OpContext& op) {
  const Output x = op.input("x");
  const std::string direction = op.string("direction", "forward");
  const bool bidirectional = direction == "bidirectional";
  const bool reverse = !bidirectional && is_reverse(op, direction);
  const int64_t directions = bidirectional ? 2 : 1;
  std::vector<Weights> weights = {read_weights(op, x, 4)};
  if (bidirectional) weights.push_back(read_weights(op, x, 4, "_back"));
  const int64_t hidden = weights[0].hidden;
  op.require(weights.back().hidden == hidden, "the two directions differ in their hidden size");
  const Output h0 = unless_empty(x, {0}, op.input("initial_h")), c0 = op.input("initial_c");
  for (const Output& initial : {h0, c0}) {
    op.require(rank(initial) == 2, "initial_h and initial_c need rank 2");
    op.require(extent(initial, 1) < 0 || extent(initial, 1) == directions * hidden,
               "initial_h and initial_c need the hidden size of all directions");
  }
  LstmAttributes attributes{read_activation(op, "recurrent_activation", "sigmoid"),
                            read_activation(op, "cell_activation", "tanh"),
                            read_activation(op, "activation", "tanh")};
  if (op.has("clip")) {
    attributes.has_clip = true;
    attributes.clip = op.real("clip");
    op.require(attributes.clip >= 0.0f, "clip is negative");
  }
  const auto has_peephole = [&](const char* name) {
    return op.has(name) && !is_all_zero(op, name);
  };
  const bool is_plain =
      attributes.gates == Activation::kSigmoid && attributes.cell == Activation::kTanh &&
      attributes.output == Activation::kTanh && !attributes.has_clip && !has_peephole("peephole") &&
      !(bidirectional && has_peephole("peephole_back"));
  if (!is_plain) {
    const auto part = [&](const Output& state, int64_t index) {
      return bidirectional ? slice(state, 1, index * hidden, (index + 1) * hidden) : state;
    };
    const LstmResult first = lstm_loop(op, x, part(h0, 0), part(c0, 0), weights[0], attributes, "",
                                       reverse, bidirectional);
    if (!bidirectional) return {visible_sequence(op, first.sequence, first.h), first.h, first.c};
    const LstmResult back =
        lstm_loop(op, x, part(h0, 1), part(c0, 1), weights[1], attributes, "_back", true, true);
    const Output h = concat({first.h, back.h}, 1), c = concat({first.c, back.c}, 1);
    return {visible_sequence(op, concat({first.sequence, back.sequence}, 2), h), h, c};
  }

  // OpenVINO's gates: forget, input, cell, output.
  const std::vector<size_t> order = {1, 0, 3, 2};
  std::vector<float> w, r, b;
  for (const Weights& one : weights) {
    append_blocks(w, one.input_hidden, order, 4);
    append_blocks(r, one.hidden_hidden, order, 4);
    append_blocks(b, one.bias, order, 4);
  }
  const Output batch_first = transpose(x, {1, 0, 2});
  const RecurrentSequenceDirection ov_direction = bidirectional
                                                      ? RecurrentSequenceDirection::BIDIRECTIONAL
                                                  : reverse ? RecurrentSequenceDirection::REVERSE
                                                            : RecurrentSequenceDirection::FORWARD;
  const ov::OutputVector y = make_all<ov::op::v5::LSTMSequence>(
      batch_first, split_directions(h0, directions, hidden),
      split_directions(c0, directions, hidden), full_lengths(batch_first),
      f32_constant(w, {directions, 4 * hidden, weights[0].input}),
      f32_constant(r, {directions, 4 * hidden, hidden}), f32_constant(b, {directions, 4 * hidden}),
      hidden, ov_direction);
  const Output h = merge_directions(y[1], directions, hidden),
               c = merge_directions(y[2], directions, hidden);
  Output sequence = steps_first(y[0], directions, hidden);
  if (reverse) sequence = reverse_axis(sequence, 0);
  return {visible_sequence(op, sequence, h), h, c};
}

// --- gru. MIL's gates: reset, output, update. ---

OpResults translate_gru(OpContext& op) {
  const Output x = op.input("x");
  const bool reverse = is_reverse(op, op.string("direction", "forward"));
  Weights weights = read_weights(op, x, 3);
  const int64_t hidden = weights.hidden;
  const Output h0 = unless_empty(x, {0}, op.input("initial_h"));
  op.require(rank(h0) == 2, "initial_h needs rank 2");
  const Activation gates = read_activation(op, "recurrent_activation", "sigmoid");
  const Activation output = read_activation(op, "activation", "tanh");
  // Whether the reset gate is applied to the state before its product with the weights, or to that
  // product (and its bias) after.
  const bool reset_after = op.boolean("reset_after", false);
  const size_t rows = weights.bias.size();
  const std::vector<float> input_bias = op.reals("input_bias", std::vector<float>(rows, 0.0f));
  op.require(input_bias.size() == rows, "input_bias needs one element per row of the weights");
  const size_t h = static_cast<size_t>(hidden);
  std::vector<float> both(rows);
  for (size_t i = 0; i < rows; ++i) both[i] = weights.bias[i] + input_bias[i];

  if (gates == Activation::kSigmoid && output == Activation::kTanh) {
    // OpenVINO's gates: update, reset, output.
    const std::vector<size_t> order = {2, 0, 1};
    std::vector<float> w, r, b;
    append_blocks(w, weights.input_hidden, order, 3);
    append_blocks(r, weights.hidden_hidden, order, 3);
    if (reset_after) {
      append_blocks(b, both, {2, 0}, 3);
      append_blocks(b, input_bias, {1}, 3);
      append_blocks(b, weights.bias, {1}, 3);
    } else {
      append_blocks(b, both, order, 3);
    }
    const Output batch_first = transpose(x, {1, 0, 2});
    const ov::OutputVector y = make_all<ov::op::v5::GRUSequence>(
        batch_first, split_directions(h0, 1, hidden), full_lengths(batch_first),
        f32_constant(w, {1, 3 * hidden, weights.input}), f32_constant(r, {1, 3 * hidden, hidden}),
        f32_constant(b, {1, static_cast<int64_t>(b.size())}), h,
        reverse ? RecurrentSequenceDirection::REVERSE : RecurrentSequenceDirection::FORWARD,
        std::vector<std::string>{"sigmoid", "tanh"}, std::vector<float>{}, std::vector<float>{},
        0.0f, reset_after);
    Output sequence = steps_first(y[0], 1, hidden);
    if (reverse) sequence = reverse_axis(sequence, 0);
    const Output last = merge_directions(y[1], 1, hidden);
    return {visible_sequence(op, sequence, last), last};
  }

  // reset_after multiplies the recurrent bias of the output gate by the reset gate, so it stays out
  // of the part computed ahead.
  const std::vector<float> recurrent_bias(weights.bias.begin() + hidden,
                                          weights.bias.begin() + 2 * hidden);
  weights.bias = both;
  if (reset_after)
    std::copy(input_bias.begin() + hidden, input_bias.begin() + 2 * hidden,
              weights.bias.begin() + hidden);
  const size_t block = h * h;
  const auto rows_of = [&](size_t gate) {
    const auto begin = weights.hidden_hidden.begin() + static_cast<ptrdiff_t>(gate * block);
    return std::vector<float>(begin, begin + static_cast<ptrdiff_t>(block));
  };
  RecurrentLoop loop;
  loop.steps = project_input(x, weights);
  loop.initial = {h0};
  loop.reverse = reverse;
  loop.align_with_steps = false;
  loop.body = [&](const Output& step, const ov::OutputVector& states) {
    const Output& state = states[0];
    const auto product = [&](const Output& value, size_t gate) {
      return recurrent_product(value, rows_of(gate), hidden, hidden);
    };
    const Output r = activate(gates, add(block_of(step, 0, hidden), product(state, 0)));
    const Output z = activate(gates, add(block_of(step, 2, hidden), product(state, 2)));
    const Output inner =
        reset_after ? multiply(r, add(product(state, 1), f32_constant(recurrent_bias, {1, hidden})))
                    : product(multiply(r, state), 1);
    const Output o = activate(output, add(block_of(step, 1, hidden), inner));
    return ov::OutputVector{add(multiply(subtract(scalar_like(z, 1.0), z), o), multiply(z, state))};
  };
  const RecurrentOutputs outputs = build_recurrent_loop(loop);
  return {visible_sequence(op, outputs.sequence, outputs.states[0]), outputs.states[0]};
}

// --- rnn ---

OpResults translate_rnn(OpContext& op) {
  const Output x = op.input("x");
  const bool reverse = is_reverse(op, op.string("direction", "forward"));
  const Weights weights = read_weights(op, x, 1);
  const int64_t hidden = weights.hidden;
  const Output h0 = unless_empty(x, {0}, op.input("initial_h"));
  op.require(rank(h0) == 2, "initial_h needs rank 2");
  const Activation activation = read_activation(op, "activation", "tanh");
  if (activation == Activation::kTanh || activation == Activation::kRelu ||
      activation == Activation::kSigmoid) {
    const char* name = activation == Activation::kTanh   ? "tanh"
                       : activation == Activation::kRelu ? "relu"
                                                         : "sigmoid";
    const Output batch_first = transpose(x, {1, 0, 2});
    const ov::OutputVector y = make_all<ov::op::v5::RNNSequence>(
        batch_first, split_directions(h0, 1, hidden), full_lengths(batch_first),
        f32_constant(weights.input_hidden, {1, hidden, weights.input}),
        f32_constant(weights.hidden_hidden, {1, hidden, hidden}),
        f32_constant(weights.bias, {1, hidden}), static_cast<size_t>(hidden),
        reverse ? RecurrentSequenceDirection::REVERSE : RecurrentSequenceDirection::FORWARD,
        std::vector<std::string>{name});
    Output sequence = steps_first(y[0], 1, hidden);
    if (reverse) sequence = reverse_axis(sequence, 0);
    const Output last = merge_directions(y[1], 1, hidden);
    return {visible_sequence(op, sequence, last), last};
  }
  // One product of [step, state] instead of a sum with the part computed ahead: OpenVINO would add
  // the product onto the step in place and then overwrite the new state with the next step (2026.4,
  // known extents only).
  std::vector<float> joined;
  for (int64_t row = 0; row < hidden; ++row) {
    const auto append_row = [&](const std::vector<float>& matrix, int64_t columns) {
      joined.insert(joined.end(), matrix.begin() + row * columns,
                    matrix.begin() + (row + 1) * columns);
    };
    append_row(weights.input_hidden, weights.input);
    append_row(weights.hidden_hidden, hidden);
  }
  RecurrentLoop loop;
  loop.steps = x;
  loop.initial = {h0};
  loop.reverse = reverse;
  loop.align_with_steps = false;
  loop.body = [&](const Output& step, const ov::OutputVector& states) {
    const Output sum =
        add(recurrent_product(concat({step, states[0]}, 1), joined, hidden, weights.input + hidden),
            f32_constant(weights.bias, {1, hidden}));
    return ov::OutputVector{activate(activation, sum)};
  };
  const RecurrentOutputs outputs = build_recurrent_loop(loop);
  return {visible_sequence(op, outputs.sequence, outputs.states[0]), outputs.states[0]};
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
