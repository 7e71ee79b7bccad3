#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ROUND_TO_HALF_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ROUND_TO_HALF_H_

// A node that rounds f32 elements to the nearest IEEE half (ties to even; overflow to infinity;
// denormals and NaN kept) and gives them as f32. A Convert to f16 and back would say the same, but
// OpenVINO's CPU plugin computes f16 in f32 and removes the pair. The arithmetic is base/half.h's
// round_to_half().

#include <memory>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

class RoundToHalf : public ov::op::Op {
 public:
  OPENVINO_OP("RoundToHalf", "coreml_delegate");

  RoundToHalf() = default;
  explicit RoundToHalf(const ov::Output<ov::Node>& value);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ROUND_TO_HALF_H_
