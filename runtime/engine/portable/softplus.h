#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SOFTPLUS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SOFTPLUS_H_

// A node for log(1 + exp(x)), exact to a few units of the result's last place wherever x lies.
// OpenVINO's SoftPlus is exact to 2e-6 of 1, which is all of the result below -13, and negative for
// some of these.

#include <cstddef>
#include <memory>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

class Softplus : public ov::op::Op {
 public:
  OPENVINO_OP("Softplus", "coreml_delegate");

  Softplus() = default;
  explicit Softplus(const ov::Output<ov::Node>& value);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SOFTPLUS_H_
