// random_*. coremltools: a seed gives "a reproducible sequence of values across multiple invokes";
// -1 or none gives new values each time.

#include "openvino/op/log.hpp"
#include "openvino/op/random_uniform.hpp"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/random_values.h"

namespace coreml_delegate::engine::portable {
namespace {

Output values(const Output& input, const RandomParameters& parameters) {
  ov::OutputVector inputs = {input};
  if (parameters.seed == -1) {
    // With both of its seeds 0 it gives another number in each execution.
    inputs.push_back(
        make<ov::op::v8::RandomUniform>(i64({1}), f32(0), f32(1), ov::element::f32, 0, 0));
  }
  return make<RandomValues>(inputs, parameters);
}

OpResults draw(OpContext& op, Distribution distribution, float first, float second) {
  RandomParameters parameters;
  parameters.distribution = distribution;
  parameters.first = first;
  parameters.second = second;
  parameters.seed = op.integer("seed", -1);
  return values(op.index_input("shape"), parameters);
}

OpResults translate_bernoulli(OpContext& op) {
  return draw(op, Distribution::kBernoulli, op.real("prob", 0.5f), 0);
}

OpResults translate_normal(OpContext& op) {
  return draw(op, Distribution::kNormal, op.real("mean", 0), op.real("stddev", 1));
}

OpResults translate_uniform(OpContext& op) {
  return draw(op, Distribution::kUniform, op.real("low", 0), op.real("high", 1));
}

OpResults translate_categorical(OpContext& op) {
  Output logits = op.input("x");
  const std::string mode = op.string("mode", "logits");
  op.require(mode == "logits" || mode == "probs", "the mode is not one of logits, probs");
  if (mode == "probs") logits = make<ov::op::v0::Log>(logits);
  RandomParameters parameters;
  parameters.distribution = Distribution::kCategorical;
  parameters.samples = op.integer("size", 1);
  parameters.seed = op.integer("seed", -1);
  op.require(parameters.samples >= 0, "\"size\" must not be negative");
  return values(logits, parameters);
}

}  // namespace

OpTable random_ops() {
  static constexpr OpEntry kOps[] = {
      {"random_bernoulli", translate_bernoulli},
      {"random_categorical", translate_categorical},
      {"random_normal", translate_normal},
      {"random_uniform", translate_uniform},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
