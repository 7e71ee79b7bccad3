#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_NON_MAXIMUM_SUPPRESSION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_NON_MAXIMUM_SUPPRESSION_H_

// MIL's non_maximum_suppression as a node. OpenVINO's has other rules: it suppresses per class or
// not at all, gives no fixed number of results, and nothing when no score passes the threshold.

#include <cstdint>
#include <memory>

#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

// Inputs, f32: boxes [n, boxes, 4] as (center x, center y, width, height); scores [n, boxes,
// classes]. Outputs: f32 boxes [n, max_boxes, 4], f32 scores [n, max_boxes, classes], i32 indices
// [n, max_boxes], i32 counts [n].
//
// A box stands for its best class. From the highest score down, a box is kept unless its score is
// below `score_threshold` or its intersection over union with a kept one (of the same class, with
// per_class) is above `iou_threshold`. When none is kept, the best box is. Results are in the order
// of their scores; what is left of them is 0, index -1.
class NonMaximumSuppression : public ov::op::Op {
 public:
  OPENVINO_OP("NonMaximumSuppression", "coreml_delegate");

  NonMaximumSuppression() = default;
  NonMaximumSuppression(const ov::Output<ov::Node>& boxes, const ov::Output<ov::Node>& scores,
                        float iou_threshold, float score_threshold, int64_t max_boxes,
                        bool per_class);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

 private:
  float iou_threshold_ = 0.0f;
  float score_threshold_ = 0.0f;
  int64_t max_boxes_ = 0;
  bool per_class_ = false;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_NON_MAXIMUM_SUPPRESSION_H_
