#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CUMULATIVE_SUM_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CUMULATIVE_SUM_H_

// A node that sums up f32 along an axis, with the running sum in double as torch has it on the CPU:
// each result is off by its own rounding. OpenVINO's CumSum rounds the running sum at every
// element, which after 24,000 elements is 100 times as much, and what a sine of such a phase shows.

#include <cstdint>
#include <memory>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

class CumulativeSum : public ov::op::Op {
 public:
  OPENVINO_OP("CumulativeSum", "coreml_delegate");

  CumulativeSum() = default;
  // `axis` in [0, rank). Exclusive: each result is the sum of the elements before. Reverse: from
  // the end on.
  CumulativeSum(const ov::Output<ov::Node>& value, int64_t axis, bool exclusive, bool reverse);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

 private:
  int64_t axis_ = 0;
  bool exclusive_ = false;
  bool reverse_ = false;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CUMULATIVE_SUM_H_
