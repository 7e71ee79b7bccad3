#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_REDUCE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_REDUCE_H_

// A node for reductions of i32, which OpenVINO's CPU plugin computes in float (wrong above 2^24),
// and for those of f32 whose result it gets wrong: it loses a NaN among the elements of a maximum
// or minimum, starts these from the lowest finite number, and adds up in float one after the other
// (4e-6 off for 24,000). Integers wrap to 32 bits; floats are added in double.

#include <cstdint>
#include <memory>
#include <vector>

#include "openvino/op/op.hpp"
#include "runtime/engine/portable/value.h"

namespace coreml_delegate::engine::portable {

enum class ReduceKind : int64_t {
  kSum,
  kProduct,
  kMaximum,
  kMinimum,
  kMean  // Of integers: towards zero.
};

class ExactReduce : public ov::op::Op {
 public:
  OPENVINO_OP("ExactReduce", "coreml_delegate");

  ExactReduce() = default;
  // `axes` in [0, rank), each once. No product of f32.
  ExactReduce(const ov::Output<ov::Node>& value, ReduceKind kind, std::vector<int64_t> axes,
              bool keep_dims);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

  ReduceKind kind() const { return static_cast<ReduceKind>(kind_); }
  const std::vector<int64_t>& axes() const { return axes_; }
  bool keep_dims() const { return keep_dims_; }

 private:
  bool is_reduced(size_t axis) const;

  int64_t kind_ = 0;
  std::vector<int64_t> axes_;
  bool keep_dims_ = false;
};

// The sum or the mean of f32 over `axes` (in [0, rank), each once): by OpenVINO's kernel, which
// runs in the layout of the nodes around it, where it adds up so few that it is as exact.
Output reduce_sum(const Output& value, const std::vector<int64_t>& axes, bool keep_dims);
Output reduce_mean(const Output& value, const std::vector<int64_t>& axes, bool keep_dims);
// Whether these, and OpenVINO's normalizations, add up so few along `axes`.
bool adds_up_few(const Output& value, const std::vector<int64_t>& axes);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_REDUCE_H_
