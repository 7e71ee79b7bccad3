#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECK_INDICES_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECK_INDICES_H_

// A node that gives its i32 indices as they are, and ends the execution when one lies outside [0,
// limit): `validate_indices` of the gather and scatter operations from iOS 17 on. Or only when
// there are indices and a limit is 0: OpenVINO's CPU plugin skips a gather from an empty tensor,
// and its result is then whatever lay in that memory.

#include <cstdint>
#include <memory>
#include <vector>

#include "openvino/op/op.hpp"
#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {

class CheckIndices : public ov::op::Op {
 public:
  OPENVINO_OP("CheckIndices", "coreml_delegate");

  enum class What : int64_t { kIndices, kLimits };

  CheckIndices() = default;
  // `limits` is 1-D i64: one element for all indices, or one for each position of the last axis of
  // `indices`.
  CheckIndices(const ov::Output<ov::Node>& indices, const ov::Output<ov::Node>& limits,
               What what = What::kIndices);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

 private:
  int64_t what_ = 0;
};

// The i32 indices of elements of `value`, with a check that those `axes` of it are not empty where
// they may be when the graph runs.
Output indices_into(const Output& value, const std::vector<int64_t>& axes, const Output& indices);
// `value`, of rank 1 or more and f32 or an integer, where the execution does not end because one of
// the `axes` of `source` is empty: for nodes that read `source` without indices.
Output unless_empty(const Output& source, const std::vector<int64_t>& axes, const Output& value);
// Whether an extent may be 0 when the graph runs.
bool may_be_empty(const Output& value, int64_t axis);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CHECK_INDICES_H_
