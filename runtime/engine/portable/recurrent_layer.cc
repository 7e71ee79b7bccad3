#include "runtime/engine/portable/recurrent_layer.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "openvino/runtime/tensor.hpp"
#include "runtime/engine/portable/parallel.h"

namespace coreml_delegate::engine::portable {
namespace {

using Direction = RecurrentLayer::Direction;

constexpr int64_t kLargestHidden = int64_t{1} << 24;
// Multiplications of a part that are worth a thread of their own; of one step, where threads meet
// again at its end.
constexpr double kWorkOfPart = 1 << 17;
constexpr double kWorkOfStepPart = 1 << 18;
// Rows of the batch that are not divided: they share what is read of the weights.
constexpr int64_t kRowsOfPart = 8;

bool is_lstm(const RecurrentLayerShape& shape) { return shape.cell == RecurrentCell::kLstm; }

bool is_sound(const RecurrentLayer::Attributes& attributes) {
  const RecurrentLayerShape& shape = attributes.shape;
  const auto is_activation = [](RecurrentActivation activation) {
    return activation <= RecurrentActivation::kLinear;
  };
  return shape.cell <= RecurrentCell::kGruResetAfter && shape.hidden > 0 &&
         shape.hidden <= kLargestHidden && is_activation(shape.gate) &&
         is_activation(shape.cell_activation) && is_activation(shape.output) &&
         shape.clip >= 0.0f && attributes.direction >= Direction::kForward &&
         attributes.direction <= Direction::kBidirectional &&
         (is_lstm(shape) || !attributes.has_peephole) &&
         (recurrent_kernel().takes_half_weights || !attributes.has_half_weights);
}

// Memory of one call, aligned for the widest vectors and zero.
class Scratch {
 public:
  explicit Scratch(size_t elements)
      : memory_(static_cast<float*>(::operator new(elements * sizeof(float), kAlignment))) {
    std::fill_n(memory_.get(), elements, 0.0f);
  }
  float* data() { return memory_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* memory) const { ::operator delete(memory, kAlignment); }
  };
  std::unique_ptr<float, Free> memory_;
};

// The tensors of one call.
struct Call {
  const RecurrentLayer::Attributes& attributes;
  int64_t steps, batch;
  const float* x;
  const std::byte* weights;
  const float *bias, *peephole, *h, *c;
  float *sequence, *last_h, *last_c;
};

// Rows [row_begin, row_end) of the batch in one direction, over all steps; each step in
// `block_parts` parts.
void run_part(const Call& call, int64_t direction, int64_t row_begin, int64_t row_end,
              int64_t block_parts) {
  const RecurrentLayerShape& shape = call.attributes.shape;
  const RecurrentKernel& kernel = recurrent_kernel();
  const int64_t directions = call.attributes.directions();
  const int64_t hidden = shape.hidden, padded = shape.padded_units(), gates = shape.gates();
  const int64_t rows = row_end - row_begin;
  const int64_t state_stride = directions * hidden, x_stride = directions * gates * hidden;
  const Direction kind = call.attributes.direction;
  const bool backwards = kind == Direction::kReverse || kind == Direction::kReverseAligned ||
                         (kind == Direction::kBidirectional && direction == 1);
  const bool aligned = kind != Direction::kReverse;

  const auto state_size = static_cast<size_t>(rows * padded);
  const bool resets_before = shape.cell == RecurrentCell::kGru;
  // h twice; c of an LSTM; of a GRU whose reset comes before the product what it made and z.
  Scratch scratch((is_lstm(shape) ? 3 : resets_before ? 4 : 2) * state_size);
  float* h = scratch.data();
  float* h_next = h + state_size;
  float* const third = h_next + state_size;
  RecurrentStep step;
  step.x_stride = x_stride;
  step.batch = rows;
  step.has_half_weights = call.attributes.has_half_weights;
  step.weights = call.weights + direction * shape.weights_size() * (step.has_half_weights ? 2 : 4);
  step.bias = call.bias + direction * gates * padded;
  if (call.peephole != nullptr) step.peephole = call.peephole + direction * 3 * padded;
  if (is_lstm(shape)) step.c = third;
  if (resets_before) {
    step.reset_h = third;
    step.update = third + state_size;
  }
  const auto read_state = [&](const float* from, float* to) {
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(from + (row_begin + row) * state_stride + direction * hidden, hidden,
                  to + row * padded);
    }
  };
  // `to`: of the first row of the batch.
  const auto write_state = [&](const float* from, float* to) {
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(from + row * padded, hidden,
                  to + (row_begin + row) * state_stride + direction * hidden);
    }
  };
  read_state(call.h, h);
  if (call.c != nullptr) read_state(call.c, third);
  for (int64_t i = 0; i < call.steps; ++i) {
    const int64_t at = backwards ? call.steps - 1 - i : i;
    step.x = call.x + (at * call.batch + row_begin) * x_stride + direction * gates * hidden;
    step.h = h;
    step.h_next = h_next;
    for (int64_t phase = 0; phase < shape.phases(); ++phase) {
      const auto run_blocks = [&](int64_t part) {
        kernel.run(shape, step, phase, shape.blocks() * part / block_parts,
                   shape.blocks() * (part + 1) / block_parts);
      };
      if (block_parts == 1) {
        run_blocks(0);
      } else {
        parallel_for(block_parts, run_blocks);
      }
    }
    write_state(h_next, call.sequence + (aligned ? at : i) * call.batch * state_stride);
    std::swap(h, h_next);
  }
  write_state(h, call.last_h);
  if (call.last_c != nullptr) write_state(third, call.last_c);
}

}  // namespace

RecurrentLayer::RecurrentLayer(const ov::OutputVector& inputs, const Attributes& attributes)
    : Op(inputs), attributes_(attributes) {
  constructor_validate_and_infer_types();
}

void RecurrentLayer::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, is_sound(attributes_),
                        "RecurrentLayer has attributes that its kernel does not take");
  const RecurrentLayerShape& shape = attributes_.shape;
  const int64_t directions = attributes_.directions();
  const int64_t states = is_lstm(shape) ? 2 : 1;
  NODE_VALIDATION_CHECK(
      this,
      get_input_size() == static_cast<size_t>(3 + states + (attributes_.has_peephole ? 1 : 0)),
      "RecurrentLayer has ", get_input_size(), " inputs");
  for (size_t i = 0; i < get_input_size(); ++i) {
    const bool is_half = i == 1 && attributes_.has_half_weights;
    NODE_VALIDATION_CHECK(
        this, get_input_element_type(i) == (is_half ? ov::element::u8 : ov::element::f32), "input ",
        i, " of RecurrentLayer has the type ", get_input_element_type(i));
  }
  const auto check = [&](size_t input, const ov::PartialShape& expected) {
    NODE_VALIDATION_CHECK(this, get_input_partial_shape(input).compatible(expected), "input ",
                          input, " of RecurrentLayer has the shape ",
                          get_input_partial_shape(input), ", expected ", expected);
  };
  const ov::Dimension any = ov::Dimension::dynamic();
  check(0, {any, any, directions * shape.gates() * shape.hidden});
  for (size_t i = 1; i < get_input_size(); ++i) {
    const bool is_state = i >= 3 && i < static_cast<size_t>(3 + states);
    NODE_VALIDATION_CHECK(this, is_state || get_input_partial_shape(i).is_static(), "input ", i,
                          " of RecurrentLayer has no known shape");
  }
  check(1, {directions, shape.weights_size() * (attributes_.has_half_weights ? 2 : 1)});
  check(2, {directions, shape.gates() * shape.padded_units()});
  const ov::PartialShape x = get_input_partial_shape(0);
  ov::Dimension steps = any, batch = any;
  if (x.rank().is_static()) {
    steps = x[0];
    batch = x[1];
  }
  for (int64_t i = 0; i < states; ++i) {
    const auto input = static_cast<size_t>(3 + i);
    check(input, {batch, directions * shape.hidden});
    const ov::PartialShape state = get_input_partial_shape(input);
    if (state.rank().is_static()) {
      NODE_VALIDATION_CHECK(this, ov::Dimension::merge(batch, batch, state[0]),
                            "the states of RecurrentLayer have another batch than x");
    }
  }
  if (attributes_.has_peephole)
    check(static_cast<size_t>(3 + states), {directions, 3 * shape.padded_units()});
  set_output_type(0, ov::element::f32, {steps, batch, directions * shape.hidden});
  for (int64_t i = 0; i < states; ++i) {
    set_output_type(static_cast<size_t>(1 + i), ov::element::f32,
                    {batch, directions * shape.hidden});
  }
}

std::shared_ptr<ov::Node> RecurrentLayer::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  return std::make_shared<RecurrentLayer>(inputs, attributes_);
}

bool RecurrentLayer::visit_attributes(ov::AttributeVisitor& visitor) {
  RecurrentLayerShape& shape = attributes_.shape;
  auto cell = static_cast<int64_t>(shape.cell), gate = static_cast<int64_t>(shape.gate),
       cell_activation = static_cast<int64_t>(shape.cell_activation),
       output = static_cast<int64_t>(shape.output),
       direction = static_cast<int64_t>(attributes_.direction);
  // Infinity has no form that is read back.
  bool has_clip = shape.clip <= std::numeric_limits<float>::max();
  float clip = has_clip ? shape.clip : 0.0f;
  visitor.on_attribute("cell", cell);
  visitor.on_attribute("hidden", shape.hidden);
  visitor.on_attribute("gate", gate);
  visitor.on_attribute("cell_activation", cell_activation);
  visitor.on_attribute("output", output);
  visitor.on_attribute("has_clip", has_clip);
  visitor.on_attribute("clip", clip);
  visitor.on_attribute("direction", direction);
  visitor.on_attribute("has_peephole", attributes_.has_peephole);
  visitor.on_attribute("has_half_weights", attributes_.has_half_weights);
  const auto as_byte = [](int64_t value) {
    return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255));
  };
  shape.cell = static_cast<RecurrentCell>(as_byte(cell));
  shape.gate = static_cast<RecurrentActivation>(as_byte(gate));
  shape.cell_activation = static_cast<RecurrentActivation>(as_byte(cell_activation));
  shape.output = static_cast<RecurrentActivation>(as_byte(output));
  shape.clip = has_clip ? clip : std::numeric_limits<float>::infinity();
  attributes_.direction = static_cast<Direction>(direction);
  return true;
}

bool RecurrentLayer::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const RecurrentLayerShape& shape = attributes_.shape;
  const ov::Shape& x = inputs[0].get_shape();
  OPENVINO_ASSERT(x.size() == 3, "x has the shape ", x);
  const auto directions = static_cast<size_t>(attributes_.directions());
  const ov::Shape state = {x[1], directions * static_cast<size_t>(shape.hidden)};
  const size_t states = is_lstm(shape) ? 2 : 1;
  OPENVINO_ASSERT(x[2] == state[1] * static_cast<size_t>(shape.gates()), "x has the shape ", x);
  for (size_t i = 3; i < 3 + states; ++i) {
    OPENVINO_ASSERT(inputs[i].get_shape() == state, "the states have the shape ",
                    inputs[i].get_shape(), ", expected ", state);
  }
  outputs[0].set_shape({x[0], state[0], state[1]});
  for (size_t i = 1; i < 1 + states; ++i) outputs[i].set_shape(state);
  const auto floats = [&](size_t input) { return inputs[input].data<const float>(); };
  const Call call = {attributes_,
                     static_cast<int64_t>(x[0]),
                     static_cast<int64_t>(x[1]),
                     floats(0),
                     static_cast<const std::byte*>(inputs[1].data()),
                     floats(2),
                     attributes_.has_peephole ? floats(3 + states) : nullptr,
                     floats(3),
                     states == 2 ? floats(4) : nullptr,
                     outputs[0].data<float>(),
                     outputs[1].data<float>(),
                     states == 2 ? outputs[2].data<float>() : nullptr};
  if (call.batch == 0) return true;

  // Directions and rows of the batch need nothing of each other; the units of a step meet after it.
  const int64_t threads = arena_threads();
  const double row_work = static_cast<double>(shape.weights_size());
  const double work = row_work * static_cast<double>(call.batch) * static_cast<double>(call.steps) *
                      static_cast<double>(directions);
  const auto parts_of = [&](double all, double part, int64_t most) {
    return std::clamp<int64_t>(static_cast<int64_t>(std::min(all / part, 1e6)), 1, most);
  };
  const int64_t worthwhile = parts_of(work, kWorkOfPart, threads);
  if (worthwhile == 1) {
    for (int64_t i = 0; i < attributes_.directions(); ++i) run_part(call, i, 0, call.batch, 1);
    return true;
  }
  const int64_t row_parts =
      std::clamp<int64_t>((threads + attributes_.directions() - 1) / attributes_.directions(), 1,
                          std::max<int64_t>(1, call.batch / kRowsOfPart));
  const int64_t parts = attributes_.directions() * row_parts;
  const int64_t block_parts = parts > 1
                                  ? 1
                                  : parts_of(row_work * static_cast<double>(call.batch),
                                             kWorkOfStepPart, std::min(threads, shape.blocks()));
  parallel_for(parts, [&](int64_t part) {
    const int64_t rows = part / attributes_.directions();
    run_part(call, part % attributes_.directions(), call.batch * rows / row_parts,
             call.batch * (rows + 1) / row_parts, block_parts);
  });
  return true;
}

std::vector<float> pad_recurrent_rows(const RecurrentLayerShape& shape,
                                      const std::vector<float>& rows) {
  const auto hidden = static_cast<size_t>(shape.hidden),
             padded = static_cast<size_t>(shape.padded_units());
  std::vector<float> result(rows.size() / hidden * padded);
  for (size_t row = 0; row < rows.size() / hidden; ++row)
    std::copy_n(rows.begin() + static_cast<ptrdiff_t>(row * hidden), hidden,
                result.begin() + static_cast<ptrdiff_t>(row * padded));
  return result;
}

}  // namespace coreml_delegate::engine::portable
