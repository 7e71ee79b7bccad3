#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_INTEGER_MATMUL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_INTEGER_MATMUL_H_

// A node that multiplies int32 matrices exactly, wrapping as int32 does. OpenVINO's CPU plugin
// computes an integer MatMul in f32, which is wrong from 2^24 on.

#include <memory>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

// a: [*batch, m, k], b: [*batch, k, n], both i32 of rank 2 or more; batch axes broadcast as in
// NumPy. Result: i32 [*batch, m, n].
class IntegerMatMul : public ov::op::Op {
 public:
  OPENVINO_OP("IntegerMatMul", "coreml_delegate");

  IntegerMatMul() = default;
  IntegerMatMul(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_INTEGER_MATMUL_H_
