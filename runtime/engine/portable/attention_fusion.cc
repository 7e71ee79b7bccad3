#include "runtime/engine/portable/attention_fusion.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "openvino/op/add.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/equal.hpp"
#include "openvino/op/greater.hpp"
#include "openvino/op/logical_not.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/not_equal.hpp"
#include "openvino/op/reduce_min.hpp"
#include "openvino/op/reshape.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/softmax.hpp"
#include "openvino/op/tile.hpp"
#include "runtime/engine/portable/exact_reduce.h"
#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {
namespace {

template <typename Op>
Op* as(const Output& value) {
  return dynamic_cast<Op*>(value.get_node());
}

size_t users(const Output& value) { return value.get_target_inputs().size(); }

bool is_constant_of(const Output& value, float number) {
  const auto constant = fold(value, size_t{1} << 22);
  if (constant == nullptr) return false;
  const std::vector<float> elements = constant->cast_vector<float>();
  return !elements.empty() &&
         std::all_of(elements.begin(), elements.end(), [&](float e) { return e == number; });
}

// A value of rank 3 as the rank 4 value of which batch and heads were merged; null when it is not
// one.
Output unmerged(const Output& value) {
  if (as<ov::op::v1::Reshape>(value) == nullptr) return {};
  const Output source = value.get_node()->input_value(0);
  if (!is_static(source) || !is_static(value)) return {};
  const std::vector<int64_t> four = extents(source), three = extents(value);
  const bool merges = four.size() == 4 && three.size() == 3 && three[0] == four[0] * four[1] &&
                      three[1] == four[2] && three[2] == four[3];
  return merges ? source : Output();
}

// The value whose elements a chain of conversions between booleans and integers carries.
Output without_casts(Output value) {
  while (true) {
    if (as<ov::op::v0::Convert>(value) != nullptr) {
      value = value.get_node()->input_value(0);
    } else if (as<ov::op::v1::NotEqual>(value) != nullptr &&
               is_constant_of(value.get_node()->input_value(1), 0.0f)) {
      value = value.get_node()->input_value(0);
    } else {
      return value;
    }
  }
}

// Whether a value is the maximum over the last axis, which stays with an extent of one. The guard's
// is of integers: booleans have no maximum in MIL.
bool is_maximum_of_rows(const Output& value) {
  const auto* maximum = as<ExactReduce>(value);
  if (maximum == nullptr || maximum->kind() != ReduceKind::kMaximum || !maximum->keep_dims()) {
    return false;
  }
  const int64_t last = rank(value.get_node()->input_value(0)) - 1;
  return maximum->axes() == std::vector<int64_t>{last};
}

// Whether `condition` says of each row of `scores` that all of it is minus infinity. `comparison`
// is what reads the scores.
bool is_empty_row(Output condition, const Output& scores, ov::Node** comparison) {
  condition = without_casts(condition);
  if (as<ov::op::v0::Tile>(condition) != nullptr)
    condition = without_casts(condition.get_node()->input_value(0));
  if (as<ov::op::v1::LogicalNot>(condition) == nullptr) return false;
  const Output any = without_casts(condition.get_node()->input_value(0));
  if (!is_maximum_of_rows(any)) return false;
  const Output differs = without_casts(any.get_node()->input_value(0));
  if (as<ov::op::v1::LogicalNot>(differs) == nullptr) return false;
  const Output equal = without_casts(differs.get_node()->input_value(0));
  if (as<ov::op::v1::Equal>(equal) == nullptr || equal.get_node()->input_value(0) != scores)
    return false;
  *comparison = equal.get_node();
  return is_constant_of(equal.get_node()->input_value(1), -std::numeric_limits<float>::infinity());
}

// The value read by the only user of `value`, when that is a Reshape that brings [a * b, m, n] to
// [a, b, m, n] or the reverse.
Output reshaped_by_user(const Output& value) {
  auto* reshape_node = dynamic_cast<ov::op::v1::Reshape*>(only_user(value));
  return reshape_node != nullptr && is_static(reshape_node->output(0)) ? reshape_node->output(0)
                                                                       : Output();
}

void keep_name(const Output& replacement, const ov::Node& replaced) {
  replacement.get_node()->set_friendly_name(replaced.get_friendly_name());
}

// Rewrites the attention around one softmax, if it is one.
void rewrite(ov::Node* softmax) {
  const Output scores = softmax->input_value(0);
  auto* sum = as<ov::op::v1::Add>(scores);
  if (sum == nullptr || !is_static(scores) || rank(scores) != 4) return;

  // softmax(reshape(query key) + mask), in either order of the operands.
  Output mask, products;
  ov::op::v0::MatMul* first = nullptr;
  for (size_t i = 0; i < 2 && first == nullptr; ++i) {
    const Output candidate = sum->input_value(i);
    if (as<ov::op::v1::Reshape>(candidate) == nullptr || users(candidate) != 1) continue;
    const Output inner = candidate.get_node()->input_value(0);
    first = users(inner) == 1 ? as<ov::op::v0::MatMul>(inner) : nullptr;
    mask = sum->input_value(1 - i);
    products = candidate;
  }
  if (first == nullptr || !is_static(mask)) return;
  const Output query = unmerged(first->input_value(0)), key = unmerged(first->input_value(1));
  if (query.get_node() == nullptr || key.get_node() == nullptr) return;
  if (extents(products) != extents(scores)) return;

  // The guard, where there is one: select(condition, 0, softmax).
  Output weights = softmax->output(0);
  bool guarded = false;
  size_t readers = 1;
  if (auto* select = dynamic_cast<ov::op::v1::Select*>(only_user(weights))) {
    ov::Node* comparison = nullptr;
    if (select->input_value(2) != weights || !is_constant_of(select->input_value(1), 0.0f)) return;
    if (!is_empty_row(select->input_value(0), scores, &comparison)) return;
    weights = select->output(0);
    guarded = true;
    readers = 2;
  }
  // Which rows a mask of one number empties cannot be read off its last axis.
  if (guarded && rank(mask) == 0) return;
  if (users(scores) != readers || extents(weights) != extents(scores)) return;

  // reshape(reshape(weights) value)
  const Output merged = reshaped_by_user(weights);
  if (merged.get_node() == nullptr || unmerged(merged) != weights) return;
  auto* second = dynamic_cast<ov::op::v0::MatMul*>(only_user(merged));
  if (second == nullptr || second->input_value(0) != merged || second->get_transpose_a()) return;
  const Output value = unmerged(second->input_value(1));
  const Output result = reshaped_by_user(second->output(0));
  if (value.get_node() == nullptr || result.get_node() == nullptr) return;
  const std::vector<int64_t> rows = extents(scores), columns = extents(result);
  if (columns.size() != 4 || columns[0] != rows[0] || columns[1] != rows[1] ||
      columns[2] != rows[2])
    return;
  for (const Output& operand : {query, key, value}) {
    if (extents(operand)[0] != rows[0] || extents(operand)[1] != rows[1]) return;
  }

  const Output new_products =
      make<ov::op::v0::MatMul>(query, key, first->get_transpose_a(), first->get_transpose_b());
  keep_name(new_products, *first);
  const Output new_scores = add(new_products, mask);
  keep_name(new_scores, *sum);
  const Output new_weights = make<ov::op::v8::Softmax>(new_scores, -1);
  keep_name(new_weights, *softmax);
  Output replacement =
      make<ov::op::v0::MatMul>(new_weights, value, false, second->get_transpose_b());
  keep_name(replacement, *second);
  if (guarded) {
    // Not the maximum of the mask: OpenVINO's starts from the lowest finite number, which is what
    // it then gives for such a row.
    const Output infinite =
        convert(make<ov::op::v1::Equal>(mask, f32(-std::numeric_limits<float>::infinity())),
                ov::element::f32);
    const Output every =
        make<ov::op::v1::ReduceMin>(infinite, i64({rank(mask) - 1}), /*keep_dims=*/true);
    const Output empty = make<ov::op::v1::Greater>(every, f32(0.5f));
    replacement = make<ov::op::v1::Select>(empty, f32(0.0f), replacement);
    for (const Output& node : {infinite, every, empty}) {
      node.get_node()->set_friendly_name(result.get_node()->get_friendly_name() + "/" +
                                         node.get_node()->get_name());
    }
    keep_name(replacement, *result.get_node());
  }
  Output(result).replace(replacement);
}

bool softmax_over_the_last_axis(const ov::Node& node) {
  if (node.get_input_size() == 0 || node.get_input_partial_shape(0).rank().is_dynamic())
    return false;
  const int64_t last = node.get_input_partial_shape(0).rank().get_length() - 1;
  if (const auto* v8 = dynamic_cast<const ov::op::v8::Softmax*>(&node))
    return v8->get_axis() == last || v8->get_axis() == -1;
  const auto* v1 = dynamic_cast<const ov::op::v1::Softmax*>(&node);
  return v1 != nullptr && static_cast<int64_t>(v1->get_axis()) == last;
}

}  // namespace

void fuse_attention(const std::shared_ptr<ov::Model>& model) {
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    if (softmax_over_the_last_axis(*node)) rewrite(node.get());
  }
}

}  // namespace coreml_delegate::engine::portable
