#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_REDUCE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_REDUCE_H_

// A node for reductions of i32, which OpenVINO's CPU plugin computes in float (wrong above 2^24).
// Sums and products wrap to 32 bits.

#include <cstdint>
#include <memory>
#include <vector>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

enum class ReduceKind : int64_t {
  kSum,
  kProduct,
  kMaximum,
  kMinimum,
  kMean
};  // kMean: towards zero.

class ExactReduce : public ov::op::Op {
 public:
  OPENVINO_OP("ExactReduce", "coreml_delegate");

  ExactReduce() = default;
  // `axes` in [0, rank), each once.
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

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXACT_REDUCE_H_
