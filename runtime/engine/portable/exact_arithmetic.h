#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_ARITHMETIC_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_ARITHMETIC_H_

// A node for the binary operations that OpenVINO's CPU plugin gets wrong: it divides integers as
// floats (wrong above 2^24), computes x mod y as x - floor(x / y) * y, and turns a division by a
// constant into a multiplication by its rounded reciprocal, so that floor(49 / 49) is 0. Results
// are NumPy's.

#include <cstdint>
#include <memory>
#include <string>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

enum class ExactKind : int64_t {
  kFloorDivide,     // i32 and f32. Integers: x / 0 is 0.
  kFloorModulo,     // i32 and f32: the sign of y. Integers: x mod 0 is 0.
  kTruncateDivide,  // i32: towards zero; x / 0 is 0.
  kPower,    // i32, wrapping; a negative exponent gives the truncated quotient (0, 1 or -1), 0 for
             // base 0.
  kCompare,  // i32: -1 for x < y, 0 for x = y, 1 for x > y.
};

// Two arguments of one type, broadcast as NumPy does.
class ExactArithmetic : public ov::op::Op {
 public:
  OPENVINO_OP("ExactArithmetic", "coreml_delegate");

  ExactArithmetic() = default;
  ExactArithmetic(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& y, ExactKind kind);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

 private:
  int64_t kind_ = 0;
};

// The arithmetic of one pair.
int32_t exact_arithmetic(ExactKind kind, int32_t x, int32_t y);
float exact_arithmetic(ExactKind kind, float x, float y);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_ARITHMETIC_H_
