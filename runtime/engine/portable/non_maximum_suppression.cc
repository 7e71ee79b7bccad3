#include "runtime/engine/portable/non_maximum_suppression.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace coreml_delegate::engine::portable {
namespace {

float intersection_over_union(const float* a, const float* b) {
  const float width = std::min(a[0] + 0.5f * a[2], b[0] + 0.5f * b[2]) -
                      std::max(a[0] - 0.5f * a[2], b[0] - 0.5f * b[2]);
  const float height = std::min(a[1] + 0.5f * a[3], b[1] + 0.5f * b[3]) -
                       std::max(a[1] - 0.5f * a[3], b[1] - 0.5f * b[3]);
  const float area_a = a[2] * a[3], area_b = b[2] * b[3];
  if (!(width > 0.0f && height > 0.0f && area_a > 0.0f && area_b > 0.0f)) return 0.0f;
  const float intersection = width * height;
  return intersection / (area_a + area_b - intersection);
}

struct Candidate {
  float score;
  size_t index;
  size_t best_class;
};

// A total order, NaN last, the earlier of equals first.
bool precedes(const Candidate& a, const Candidate& b) {
  const bool a_is_number = a.score == a.score, b_is_number = b.score == b.score;
  if (a_is_number != b_is_number) return a_is_number;
  if (a_is_number && a.score != b.score) return a.score > b.score;
  return a.index < b.index;
}

}  // namespace

NonMaximumSuppression::NonMaximumSuppression(const ov::Output<ov::Node>& boxes,
                                             const ov::Output<ov::Node>& scores,
                                             float iou_threshold, float score_threshold,
                                             int64_t max_boxes, bool per_class)
    : Op({boxes, scores}),
      iou_threshold_(iou_threshold),
      score_threshold_(score_threshold),
      max_boxes_(max_boxes),
      per_class_(per_class) {
  constructor_validate_and_infer_types();
}

void NonMaximumSuppression::validate_and_infer_types() {
  const ov::PartialShape &boxes = get_input_partial_shape(0), &scores = get_input_partial_shape(1);
  NODE_VALIDATION_CHECK(this,
                        get_input_element_type(0) == ov::element::f32 &&
                            get_input_element_type(1) == ov::element::f32,
                        "NonMaximumSuppression takes f32");
  NODE_VALIDATION_CHECK(this, boxes.rank().compatible(3) && scores.rank().compatible(3),
                        "boxes and scores need rank 3");
  NODE_VALIDATION_CHECK(this, max_boxes_ >= 0, "max_boxes is negative");
  ov::Dimension batch, classes;
  if (boxes.rank().is_static() && scores.rank().is_static()) {
    NODE_VALIDATION_CHECK(this,
                          boxes[2].compatible(4) &&
                              ov::Dimension::merge(batch, boxes[0], scores[0]) &&
                              boxes[1].compatible(scores[1]),
                          "boxes and scores do not fit each other: ", boxes, " and ", scores);
    classes = scores[2];
  }
  set_output_type(0, ov::element::f32, {batch, max_boxes_, 4});
  set_output_type(1, ov::element::f32, {batch, max_boxes_, classes});
  set_output_type(2, ov::element::i32, {batch, max_boxes_});
  set_output_type(3, ov::element::i32, {batch});
}

std::shared_ptr<ov::Node> NonMaximumSuppression::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  return std::make_shared<NonMaximumSuppression>(inputs.at(0), inputs.at(1), iou_threshold_,
                                                 score_threshold_, max_boxes_, per_class_);
}

bool NonMaximumSuppression::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("iou_threshold", iou_threshold_);
  visitor.on_attribute("score_threshold", score_threshold_);
  visitor.on_attribute("max_boxes", max_boxes_);
  visitor.on_attribute("per_class", per_class_);
  return true;
}

bool NonMaximumSuppression::evaluate(ov::TensorVector& outputs,
                                     const ov::TensorVector& inputs) const {
  const ov::Shape shape = inputs[1].get_shape();
  if (shape.size() != 3 || inputs[0].get_shape() != ov::Shape{shape[0], shape[1], 4}) return false;
  const size_t batches = shape[0], boxes = shape[1], classes = shape[2],
               limit = static_cast<size_t>(max_boxes_);
  outputs[0].set_shape({batches, limit, 4});
  outputs[1].set_shape({batches, limit, classes});
  outputs[2].set_shape({batches, limit});
  outputs[3].set_shape({batches});
  for (size_t batch = 0; batch < batches; ++batch) {
    const float* box = inputs[0].data<float>() + batch * boxes * 4;
    const float* score = inputs[1].data<float>() + batch * boxes * classes;
    std::vector<Candidate> candidates;
    candidates.reserve(boxes);
    for (size_t i = 0; i < boxes && classes > 0; ++i) {
      const float* best = std::max_element(score + i * classes, score + (i + 1) * classes);
      candidates.push_back({*best, i, static_cast<size_t>(best - (score + i * classes))});
    }
    std::sort(candidates.begin(), candidates.end(), precedes);
    std::vector<const Candidate*> kept;
    for (const Candidate& candidate : candidates) {
      if (kept.size() == limit || !(candidate.score >= score_threshold_)) break;
      const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](const Candidate* other) {
        return (!per_class_ || other->best_class == candidate.best_class) &&
               intersection_over_union(box + candidate.index * 4, box + other->index * 4) >
                   iou_threshold_;
      });
      if (!suppressed) kept.push_back(&candidate);
    }
    if (kept.empty() && !candidates.empty() && limit > 0) kept.push_back(candidates.data());
    float* out_boxes = outputs[0].data<float>() + batch * limit * 4;
    float* out_scores = outputs[1].data<float>() + batch * limit * classes;
    int32_t* out_indices = outputs[2].data<int32_t>() + batch * limit;
    std::fill(out_boxes, out_boxes + limit * 4, 0.0f);
    std::fill(out_scores, out_scores + limit * classes, 0.0f);
    std::fill(out_indices, out_indices + limit, -1);
    for (size_t i = 0; i < kept.size(); ++i) {
      const size_t index = kept[i]->index;
      std::memcpy(out_boxes + i * 4, box + index * 4, 4 * sizeof(float));
      std::memcpy(out_scores + i * classes, score + index * classes, classes * sizeof(float));
      out_indices[i] = static_cast<int32_t>(index);
    }
    outputs[3].data<int32_t>()[batch] = static_cast<int32_t>(kept.size());
  }
  return true;
}

}  // namespace coreml_delegate::engine::portable
