// slice_by_index, slice_by_size, slice_update, split: parts of tensors along their axes.

#include <algorithm>
#include <limits>

#include "openvino/op/add.hpp"
#include "openvino/op/concat.hpp"
#include "openvino/op/equal.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/less.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/range.hpp"
#include "openvino/op/scatter_update.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/slice.hpp"
#include "openvino/op/split.hpp"
#include "openvino/op/variadic_split.hpp"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

// Beyond every index, also of the plugin's 32-bit ones.
constexpr int64_t kFar = std::numeric_limits<int32_t>::max();

// begin, end, stride and the masks of slice_by_index and slice_update, NumPy's x[begin:end:stride]
// with one entry per axis of x.
struct IndexedSlice {
  // Empty where they are known at run time only; then the nodes below are set.
  std::vector<int64_t> begin;
  std::vector<int64_t> end;
  Output begin_node;  // 1-D i64.
  Output end_node;
  std::vector<int64_t> stride;
  std::vector<bool> begin_mask;
  std::vector<bool> end_mask;
  std::vector<bool> squeeze_mask;

  // Whether an axis is taken whole and in order.
  bool is_whole(size_t axis, int64_t extent) const {
    if (squeeze_mask[axis] || stride[axis] != 1) return false;
    const bool from_start =
        begin_mask[axis] ||
        (!begin.empty() && (begin[axis] == 0 || (extent >= 0 && begin[axis] <= -extent)));
    const bool to_end =
        end_mask[axis] || (!end.empty() && end[axis] >= (extent >= 0 ? extent : kFar));
    return from_start && to_end;
  }
  std::vector<int64_t> squeezed_axes() const {
    std::vector<int64_t> axes;
    for (size_t i = 0; i < squeeze_mask.size(); ++i) {
      if (squeeze_mask[i]) axes.push_back(static_cast<int64_t>(i));
    }
    return axes;
  }
};

IndexedSlice read_slice(OpContext& op, int64_t x_rank) {
  const auto size = static_cast<size_t>(x_rank);
  IndexedSlice slice;
  if (op.is_constant("begin")) slice.begin = op.integers("begin");
  if (op.is_constant("end")) slice.end = op.integers("end");
  slice.begin_node = op.index_input("begin");
  slice.end_node = op.index_input("end");
  slice.stride = op.integers("stride", std::vector<int64_t>(size, 1));
  slice.begin_mask = op.booleans("begin_mask", std::vector<bool>(size, false));
  slice.end_mask = op.booleans("end_mask", std::vector<bool>(size, false));
  slice.squeeze_mask = op.booleans("squeeze_mask", std::vector<bool>(size, false));
  auto fits = [&](const Output& vector) {
    const int64_t length = extent(vector, 0);
    return length < 0 || length == x_rank;
  };
  op.require(fits(slice.begin_node) && fits(slice.end_node) && slice.stride.size() == size &&
                 slice.begin_mask.size() == size && slice.end_mask.size() == size &&
                 slice.squeeze_mask.size() == size,
             "begin, end, stride and the masks need one element per axis of x");
  for (size_t i = 0; i < size; ++i) {
    op.require(slice.stride[i] != 0 || slice.squeeze_mask[i], "a stride is 0");
    if (slice.squeeze_mask[i]) slice.stride[i] = 1;
  }
  return slice;
}

Output element(const Output& vector, size_t index) {
  return pick(vector, {static_cast<int64_t>(index)});
}

// The first index of an axis, as a 1-D value, in the sense of ov Slice: negative counts from the
// end, far is clamped.
Output slice_begin(const IndexedSlice& slice, size_t axis) {
  if (slice.begin_mask[axis] && !slice.squeeze_mask[axis])
    return i64({slice.stride[axis] > 0 ? 0 : kFar});
  if (!slice.begin.empty()) return i64({slice.begin[axis]});
  return element(slice.begin_node, axis);
}

Output slice_end(const IndexedSlice& slice, size_t axis) {
  if (slice.squeeze_mask[axis]) {
    // begin + 1, which for the last element is not 0 but the end.
    if (!slice.begin.empty())
      return i64(
          {slice.begin[axis] == -1 || slice.begin[axis] >= kFar ? kFar : slice.begin[axis] + 1});
    const Output next = add(element(slice.begin_node, axis), i64({1}));
    return make<ov::op::v1::Select>(make<ov::op::v1::Equal>(next, i64({0})), i64({kFar}), next);
  }
  if (slice.end_mask[axis]) return i64({slice.stride[axis] > 0 ? kFar : -kFar - 1});
  if (!slice.end.empty()) return i64({slice.end[axis]});
  return element(slice.end_node, axis);
}

Output joined(const ov::OutputVector& parts) {
  const Output result = concat(parts, 0);
  if (auto known = fold(result)) return known->output(0);
  return result;
}

// An index that counts from the end as one that counts from the start, for an axis whose extent is
// known at run time only. (OpenVINO 2026.4 infers an impossible extent for a slice from a negative
// constant to a positive one where the extent has bounds.)
Output from_start(const Output& index, const Output& extent_of_axis) {
  return make<ov::op::v1::Maximum>(add(index, extent_of_axis), i64({0}));
}

OpResults translate_slice_by_index(OpContext& op) {
  const Output x = op.input("x");
  const IndexedSlice spec = read_slice(op, rank(x));
  ov::OutputVector begin;
  ov::OutputVector end;
  std::vector<int64_t> stride;
  std::vector<int64_t> axes;
  for (size_t i = 0; i < spec.stride.size(); ++i) {
    const int64_t axis = static_cast<int64_t>(i);
    if (spec.is_whole(i, extent(x, axis))) continue;
    // One element of an axis that is 1 long: nothing to cut when the index is known.
    if (spec.squeeze_mask[i] && extent(x, axis) == 1 && !spec.begin.empty() &&
        (spec.begin[i] == 0 || spec.begin[i] == -1)) {
      continue;
    }
    Output first = slice_begin(spec, i);
    Output last = slice_end(spec, i);
    const bool is_indexed =
        !spec.begin_mask[i] && !spec.end_mask[i] && !spec.squeeze_mask[i] && spec.stride[i] > 0;
    if (is_indexed && extent(x, axis) < 0 && !spec.begin.empty() && !spec.end.empty() &&
        (spec.begin[i] < 0) != (spec.end[i] < 0)) {
      const Output length = dimension_of(x, axis);
      if (spec.begin[i] < 0) first = from_start(first, length);
      if (spec.end[i] < 0) last = from_start(last, length);
    }
    begin.push_back(first);
    end.push_back(last);
    stride.push_back(spec.stride[i]);
    axes.push_back(axis);
  }
  Output result = x;
  if (!axes.empty()) {
    result = make<ov::op::v8::Slice>(x, joined(begin), joined(end), i64(stride), i64(axes));
  }
  return squeeze(result, spec.squeezed_axes());
}

// size -1 takes the rest of the axis.
OpResults translate_slice_by_size(OpContext& op) {
  const Output x = op.input("x");
  const Output begin = op.index_input("begin");
  const Output size = op.index_input("size");
  std::vector<int64_t> axes(static_cast<size_t>(rank(x)));
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  const int64_t begin_length = extent(begin, 0);
  const int64_t size_length = extent(size, 0);
  op.require(
      (begin_length < 0 || begin_length == rank(x)) && (size_length < 0 || size_length == rank(x)),
      "begin and size need one element per axis of x");
  // A negative begin counts from the end; its end must not turn from negative to 0.
  Output from = begin;
  const std::vector<int64_t> known_begin =
      op.is_constant("begin") ? op.integers("begin") : std::vector<int64_t>{-1};
  if (std::any_of(known_begin.begin(), known_begin.end(),
                  [](int64_t index) { return index < 0; })) {
    from = make<ov::op::v1::Select>(make<ov::op::v1::Less>(begin, i64({0})),
                                    add(begin, shape_of(x)), begin);
  }
  Output end = make<ov::op::v1::Select>(make<ov::op::v1::Less>(size, i64({0})), i64({kFar}),
                                        add(from, size));
  Output start = from;
  if (auto known = fold(start)) start = known->output(0);
  if (auto known = fold(end)) end = known->output(0);
  return make<ov::op::v8::Slice>(x, start, end, i64(std::vector<int64_t>(axes.size(), 1)),
                                 i64(axes));
}

// The indices of an axis that a slice updates, in [0, extent), as many as `update` has elements
// along it.
Output updated_indices(const IndexedSlice& slice, size_t axis, const Output& x,
                       const Output& update) {
  const auto position = static_cast<int64_t>(axis);
  const Output extent_of_x = dimension_of(x, position);
  Output begin = slice_begin(slice, axis);
  if (slice.begin_mask[axis] && !slice.squeeze_mask[axis] && slice.stride[axis] < 0) {
    begin = add(extent_of_x, i64({-1}));
  }
  begin = make<ov::op::v1::Select>(make<ov::op::v1::Less>(begin, i64({0})), add(begin, extent_of_x),
                                   begin);
  const Output count = squeeze(dimension_of(update, position), {0});
  Output steps = make<ov::op::v4::Range>(i64_scalar(0), count, i64_scalar(1), ov::element::i64);
  if (slice.stride[axis] != 1) steps = multiply(steps, i64({slice.stride[axis]}));
  const Output indices = add(begin, steps);
  if (auto known = fold(indices)) return known->output(0);
  return indices;
}

// Nested ScatterUpdates, one per axis that is not whole. (OpenVINO 2026.4 SliceScatter in a graph
// with variables crashes in compile_model.)
Output scatter_slice(const IndexedSlice& slice, const std::vector<size_t>& axes, size_t first,
                     const Output& x, const Output& update) {
  const size_t axis = axes[first];
  const auto position = static_cast<int64_t>(axis);
  const Output indices = updated_indices(slice, axis, x, update);
  Output inner = update;
  if (first + 1 < axes.size()) {
    const Output part = make<ov::op::v8::Gather>(x, indices, i64_scalar(position));
    inner = scatter_slice(slice, axes, first + 1, part, update);
  }
  return make<ov::op::v3::ScatterUpdate>(x, indices, inner, i64_scalar(position));
}

OpResults translate_slice_update(OpContext& op) {
  const Output x = op.input("x");
  const IndexedSlice spec = read_slice(op, rank(x));
  const Output update = unsqueeze(op.input("update"), spec.squeezed_axes());
  op.require(rank(update) == rank(x), "the rank of \"update\" does not fit the slice");
  op.require(update.get_element_type() == x.get_element_type(),
             "\"update\" and \"x\" have different types");
  std::vector<size_t> axes;
  for (size_t i = 0; i < spec.stride.size(); ++i) {
    if (!spec.is_whole(i, extent(x, static_cast<int64_t>(i)))) axes.push_back(i);
  }
  if (axes.empty()) return update;
  return scatter_slice(spec, axes, 0, x, update);
}

OpResults translate_split(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x));
  if (op.has("split_sizes")) {
    const std::vector<int64_t> sizes = op.integers("split_sizes");
    op.require(sizes.size() == op.output_count(),
               "\"split_sizes\" and the outputs differ in number");
    for (int64_t size : sizes) op.require(size >= 0, "a size in \"split_sizes\" is negative");
    return make_all<ov::op::v1::VariadicSplit>(x, i64_scalar(axis), i64(sizes));
  }
  const int64_t parts = op.integer("num_splits");
  op.require(parts > 0 && static_cast<size_t>(parts) == op.output_count(),
             "\"num_splits\" and the outputs differ in number");
  return make_all<ov::op::v1::Split>(x, i64_scalar(axis), static_cast<size_t>(parts));
}

}  // namespace

OpTable slice_ops() {
  static constexpr OpEntry kOps[] = {
      {"slice_by_index", translate_slice_by_index, Rounding::kNone},
      {"slice_by_size", translate_slice_by_size, Rounding::kNone},
      {"slice_update", translate_slice_update, Rounding::kNone},
      {"split", translate_split, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
