#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECK_INDICES_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECK_INDICES_H_

// A node that gives its i32 indices as they are, and ends the execution when one lies outside [0,
// limit): `validate_indices` of the gather and scatter operations from iOS 17 on.

#include <memory>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

class CheckIndices : public ov::op::Op {
 public:
  OPENVINO_OP("CheckIndices", "coreml_delegate");

  CheckIndices() = default;
  // `limits` is 1-D i64: one element for all indices, or one for each position of the last axis of
  // `indices`.
  CheckIndices(const ov::Output<ov::Node>& indices, const ov::Output<ov::Node>& limits);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECK_INDICES_H_
