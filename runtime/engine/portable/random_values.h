#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RANDOM_VALUES_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RANDOM_VALUES_H_

// A node that gives random numbers. With a seed every execution gives the same ones, on every
// machine; with the seed -1 each execution draws its own from the system.

#include <cstdint>
#include <memory>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

enum class Distribution : int64_t {
  kUniform,      // In [first, second).
  kNormal,       // Mean `first`, standard deviation `second`.
  kBernoulli,    // 1 with the probability `first`, else 0.
  kCategorical,  // The input's last axis holds logits; `samples` indices are drawn with replacement
                 // from each row.
};

struct RandomParameters {
  Distribution distribution = Distribution::kUniform;
  float first = 0;
  float second = 1;
  int64_t seed = -1;
  int64_t samples = 1;
};

// Gives f32. The input is the shape, 1-D i64, or for kCategorical the logits, f32. Without a seed
// there is a second input, one f32 that is new in each execution: the plugin computes a node whose
// inputs are constants once, when it loads the graph.
class RandomValues : public ov::op::Op {
 public:
  OPENVINO_OP("RandomValues", "coreml_delegate");

  RandomValues() = default;
  RandomValues(const ov::OutputVector& inputs, const RandomParameters& parameters);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }
  bool can_constant_fold(const ov::OutputVector&) const override { return false; }

 private:
  int64_t distribution_ = 0;
  float first_ = 0;
  float second_ = 1;
  int64_t seed_ = -1;
  int64_t samples_ = 1;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RANDOM_VALUES_H_
