// reduce_*.

#include <algorithm>
#include <numeric>

#include "openvino/op/abs.hpp"
#include "openvino/op/exp.hpp"
#include "openvino/op/is_inf.hpp"
#include "openvino/op/log.hpp"
#include "openvino/op/reduce_prod.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/sqrt.hpp"
#include "openvino/op/topk.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/exact_reduce.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

// The axes of a reduction, all of them where the program names none.
std::vector<int64_t> reduced_axes(OpContext& op, const Output& x) {
  std::vector<int64_t> every(static_cast<size_t>(rank(x)));
  std::iota(every.begin(), every.end(), 0);
  return op.axes("axes", rank(x), every);
}

bool keeps_dims(OpContext& op) { return op.boolean("keep_dims", false); }

bool is_integer(const Output& x) { return x.get_element_type() != ov::element::f32; }

Output exact(OpContext& op, const Output& x, ReduceKind kind) {
  return make<ExactReduce>(convert(x, ov::element::i32), kind, reduced_axes(op, x), keeps_dims(op));
}

OpResults translate_reduce_prod(OpContext& op) {
  const Output x = op.input("x");
  if (is_integer(x)) return exact(op, x, ReduceKind::kProduct);
  return make<ov::op::v1::ReduceProd>(x, i64(reduced_axes(op, x)), keeps_dims(op));
}

// Not OpenVINO's ReduceMax and ReduceMin, which lose a NaN and start from the lowest finite float.
template <ReduceKind kind>
OpResults reduce_extremum(OpContext& op) {
  const Output x = op.input("x");
  if (is_integer(x)) return exact(op, x, kind);
  return make<ExactReduce>(x, kind, reduced_axes(op, x), keeps_dims(op));
}

// The mean of nothing is no number; OpenVINO gives 0.
OpResults translate_reduce_mean(OpContext& op) {
  const Output x = op.input("x");
  if (is_integer(x)) return exact(op, x, ReduceKind::kMean);
  const std::vector<int64_t> axes = reduced_axes(op, x);
  if (std::any_of(axes.begin(), axes.end(), [&](int64_t axis) { return may_be_empty(x, axis); }))
    return make<ExactReduce>(x, ReduceKind::kMean, axes, keeps_dims(op));
  return reduce_mean(x, axes, keeps_dims(op));
}

Output sum(OpContext& op, const Output& x) {
  if (is_integer(x)) return exact(op, x, ReduceKind::kSum);
  return reduce_sum(x, reduced_axes(op, x), keeps_dims(op));
}

OpResults translate_reduce_sum(OpContext& op) { return sum(op, op.input("x")); }

OpResults translate_reduce_l1_norm(OpContext& op) {
  const Output x = op.input("x");
  return sum(op, make<ov::op::v0::Abs>(x));
}

OpResults translate_reduce_l2_norm(OpContext& op) {
  const Output x = convert(op.input("x"), ov::element::f32);
  return make<ov::op::v0::Sqrt>(sum(op, multiply(x, x)));
}

OpResults translate_reduce_log_sum(OpContext& op) {
  return make<ov::op::v0::Log>(convert(sum(op, op.input("x")), ov::element::f32));
}

OpResults translate_reduce_log_sum_exp(OpContext& op) {
  const Output x = convert(op.input("x"), ov::element::f32);
  const std::vector<int64_t> axes = reduced_axes(op, x);
  const Output largest = make<ExactReduce>(x, ReduceKind::kMaximum, axes, true);
  // An infinite maximum must not be subtracted: inf - inf.
  const Output is_infinite = make<ov::op::v10::IsInf>(largest);
  const Output shift = make<ov::op::v1::Select>(is_infinite, f32(0), largest);
  const Output total = reduce_sum(make<ov::op::v0::Exp>(subtract(x, shift)), axes, true);
  const Output result = add(make<ov::op::v0::Log>(total), shift);
  return keeps_dims(op) ? result : squeeze(result, axes);
}

OpResults translate_reduce_sum_square(OpContext& op) {
  const Output x = op.input("x");
  return sum(op, multiply(x, x));
}

template <ov::op::TopKMode mode>
OpResults reduce_arg(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x), -1);
  const Output keys = is_integer(x) ? convert(x, ov::element::i32) : x;
  // Of equal elements the first, as NumPy.
  const ov::OutputVector first = make_all<ov::op::v11::TopK>(
      keys, i64_scalar(1), axis, mode, ov::op::TopKSortType::SORT_VALUES, ov::element::i32, true);
  return keeps_dims(op) ? first[1] : squeeze(first[1], {axis});
}

}  // namespace

OpTable reduction_ops() {
  static constexpr OpEntry kOps[] = {
      {"reduce_argmax", reduce_arg<ov::op::TopKMode::MAX>},
      {"reduce_argmin", reduce_arg<ov::op::TopKMode::MIN>},
      {"reduce_l1_norm", translate_reduce_l1_norm},
      {"reduce_l2_norm", translate_reduce_l2_norm},
      {"reduce_log_sum", translate_reduce_log_sum},
      {"reduce_log_sum_exp", translate_reduce_log_sum_exp},
      {"reduce_max", reduce_extremum<ReduceKind::kMaximum>, Rounding::kNone},
      {"reduce_mean", translate_reduce_mean},
      {"reduce_min", reduce_extremum<ReduceKind::kMinimum>, Rounding::kNone},
      {"reduce_prod", translate_reduce_prod},
      {"reduce_sum", translate_reduce_sum},
      {"reduce_sum_square", translate_reduce_sum_square},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
