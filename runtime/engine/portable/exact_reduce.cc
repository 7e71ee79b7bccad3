#include "runtime/engine/portable/exact_reduce.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/strides.h"
#include "openvino/core/attribute_visitor.hpp"
#include "openvino/op/reduce_mean.hpp"
#include "openvino/op/reduce_sum.hpp"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/reduce_floats.h"

namespace coreml_delegate::engine::portable {

namespace {

// OpenVINO's kernels have 8 or 16 sums side by side along the last axes, one for each element of
// those elsewhere. Within these counts its results are a few units of float32's epsilon off.
constexpr int64_t kFewInLastAxes = 16384, kFewElsewhere = 256;

FloatReduction float_reduction(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::kMean:
      return FloatReduction::kMean;
    case ReduceKind::kMaximum:
      return FloatReduction::kMaximum;
    case ReduceKind::kMinimum:
      return FloatReduction::kMinimum;
    default:
      return FloatReduction::kSum;
  }
}

}  // namespace

ExactReduce::ExactReduce(const ov::Output<ov::Node>& value, ReduceKind kind,
                         std::vector<int64_t> axes, bool keep_dims)
    : Op({value}),
      kind_(static_cast<int64_t>(kind)),
      axes_(std::move(axes)),
      keep_dims_(keep_dims) {
  constructor_validate_and_infer_types();
}

bool ExactReduce::is_reduced(size_t axis) const {
  return std::find(axes_.begin(), axes_.end(), static_cast<int64_t>(axis)) != axes_.end();
}

void ExactReduce::validate_and_infer_types() {
  const ov::element::Type type = get_input_element_type(0);
  const bool is_taken =
      type == ov::element::i32 || (type == ov::element::f32 && kind() != ReduceKind::kProduct);
  NODE_VALIDATION_CHECK(this, is_taken, "ExactReduce takes i32, or f32 but for products");
  const ov::PartialShape& shape = get_input_partial_shape(0);
  NODE_VALIDATION_CHECK(this, shape.rank().is_static(), "ExactReduce needs a known rank");
  std::vector<ov::Dimension> result;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!is_reduced(i)) {
      result.push_back(shape[i]);
    } else if (keep_dims_) {
      result.push_back(1);
    }
  }
  set_output_type(0, type, ov::PartialShape(std::move(result)));
}

std::shared_ptr<ov::Node> ExactReduce::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<ExactReduce>(inputs[0], static_cast<ReduceKind>(kind_), axes_,
                                       keep_dims_);
}

bool ExactReduce::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("kind", kind_);
  visitor.on_attribute("axes", axes_);
  visitor.on_attribute("keep_dims", keep_dims_);
  return true;
}

bool ExactReduce::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const bool is_float = inputs[0].get_element_type() == ov::element::f32;
  if (!is_float && inputs[0].get_element_type() != ov::element::i32) return false;
  const ov::Shape shape = inputs[0].get_shape();
  ov::Shape kept = shape;  // One element along each axis that is reduced.
  ov::Shape result;
  size_t reduced_count = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (is_reduced(i)) {
      kept[i] = 1;
      reduced_count *= shape[i];
    }
    if (!is_reduced(i) || keep_dims_) result.push_back(kept[i]);
  }
  const std::vector<size_t> strides = broadcast_strides(kept, shape);
  outputs[0].set_shape(result);
  if (is_float) {
    std::vector<bool> reduced(shape.size());
    for (size_t i = 0; i < shape.size(); ++i) reduced[i] = is_reduced(i);
    reduce_floats(float_reduction(static_cast<ReduceKind>(kind_)), inputs[0].data<const float>(),
                  shape, reduced, outputs[0].data<float>());
    return true;
  }
  const auto kind = static_cast<ReduceKind>(kind_);
  int64_t initial = 0;
  if (kind == ReduceKind::kProduct) initial = 1;
  if (kind == ReduceKind::kMaximum) initial = std::numeric_limits<int32_t>::min();
  if (kind == ReduceKind::kMinimum) initial = std::numeric_limits<int32_t>::max();
  std::vector<int64_t> totals(ov::shape_size(kept), initial);
  const int32_t* values = inputs[0].data<const int32_t>();
  std::vector<size_t> index(shape.size(), 0);
  size_t target = 0;
  for (size_t i = 0; i < inputs[0].get_size(); ++i) {
    int64_t& total = totals[target];
    switch (kind) {
      case ReduceKind::kSum:
      case ReduceKind::kMean:
        total += values[i];
        break;
      case ReduceKind::kProduct:
        total = static_cast<int32_t>(static_cast<uint32_t>(total * values[i]));
        break;
      case ReduceKind::kMaximum:
        total = std::max<int64_t>(total, values[i]);
        break;
      case ReduceKind::kMinimum:
        total = std::min<int64_t>(total, values[i]);
        break;
    }
    for (size_t d = shape.size(); d-- > 0;) {
      target += strides[d];
      if (++index[d] < shape[d]) break;
      target -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  int32_t* out = outputs[0].data<int32_t>();
  for (size_t i = 0; i < totals.size(); ++i) {
    if (kind == ReduceKind::kMean && reduced_count != 0)
      totals[i] /= static_cast<int64_t>(reduced_count);
    out[i] = static_cast<int32_t>(static_cast<uint32_t>(totals[i]));
  }
  return true;
}

bool adds_up_few(const Output& value, const std::vector<int64_t>& axes) {
  const ov::PartialShape& shape = value.get_partial_shape();
  const auto is_reduced = [&](int64_t axis) {
    return std::find(axes.begin(), axes.end(), axis) != axes.end();
  };
  // The last axis of more than one element decides which kernel it is.
  int64_t last = rank(value) - 1;
  while (last > 0 && shape[static_cast<size_t>(last)] == ov::Dimension(1)) --last;
  const int64_t few = is_reduced(last) ? kFewInLastAxes : kFewElsewhere;
  int64_t count = 1;
  for (const int64_t axis : axes) {
    const int64_t extent = shape[static_cast<size_t>(axis)].get_max_length();
    if (extent < 0 || extent > few) return false;
    count *= std::max<int64_t>(extent, 1);
    if (count > few) return false;
  }
  return true;
}

Output reduce_sum(const Output& value, const std::vector<int64_t>& axes, bool keep_dims) {
  if (!adds_up_few(value, axes)) return make<ExactReduce>(value, ReduceKind::kSum, axes, keep_dims);
  return make<ov::op::v1::ReduceSum>(value, i64(axes), keep_dims);
}

Output reduce_mean(const Output& value, const std::vector<int64_t>& axes, bool keep_dims) {
  if (!adds_up_few(value, axes))
    return make<ExactReduce>(value, ReduceKind::kMean, axes, keep_dims);
  return make<ov::op::v1::ReduceMean>(value, i64(axes), keep_dims);
}

}  // namespace coreml_delegate::engine::portable
