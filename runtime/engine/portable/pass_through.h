#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PASS_THROUGH_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PASS_THROUGH_H_

// A node that copies, for results that OpenVINO's passes might reduce to a parameter. With a
// caller's buffers bound to both ends of such a pair OpenVINO 2026.4 writes nothing to the output,
// or into the caller's input.

#include <memory>

#include "openvino/op/op.hpp"
#include "runtime/engine/portable/value.h"

namespace coreml_delegate::engine::portable {

class PassThrough : public ov::op::Op {
 public:
  OPENVINO_OP("PassThrough", "coreml_delegate");

  PassThrough() = default;
  explicit PassThrough(const ov::Output<ov::Node>& value);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }
};

// Whether nothing but nodes that passes may find to have no effect lies between a parameter and the
// value.
bool may_be_a_parameter(const Output& value);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PASS_THROUGH_H_
