// band_part ... topk: operations on whole tensors.

#include <algorithm>

#include "openvino/op/broadcast.hpp"
#include "openvino/op/cum_sum.hpp"
#include "openvino/op/less_eq.hpp"
#include "openvino/op/logical_and.hpp"
#include "openvino/op/non_zero.hpp"
#include "openvino/op/one_hot.hpp"
#include "openvino/op/pad.hpp"
#include "openvino/op/range.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/tile.hpp"
#include "openvino/op/topk.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/cumulative_sum.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

Output rank_zero(const Output& value) {
  return rank(value) == 0 ? value : reshape(value, std::vector<int64_t>{});
}

// 0, 1 ... along one axis of x, i32.
Output indices_along(const Output& x, int64_t axis) {
  const Output end = convert(squeeze(dimension_of(x, axis), {0}), ov::element::i32);
  return make<ov::op::v4::Range>(i32_scalar(0), end, i32_scalar(1), ov::element::i32);
}

OpResults translate_band_part(OpContext& op) {
  const Output x = op.input("x");
  op.require(rank(x) >= 2, "x must be a matrix");
  const int64_t lower = op.integer("lower", -1);
  const int64_t upper = op.integer("upper", -1);
  if (lower < 0 && upper < 0) return x;
  const Output below =
      subtract(unsqueeze(indices_along(x, -2), {1}), indices_along(x, -1));  // row - column
  auto limit = [](int64_t value) {
    return i32_scalar(static_cast<int32_t>(std::min<int64_t>(value, 1 << 30)));
  };
  Output inside;
  if (lower >= 0) inside = make<ov::op::v1::LessEqual>(below, limit(lower));
  if (upper >= 0) {
    const Output above = make<ov::op::v1::LessEqual>(subtract(i32_scalar(0), below), limit(upper));
    inside = lower >= 0 ? make<ov::op::v1::LogicalAnd>(inside, above) : above;
  }
  if (auto known = fold(inside)) inside = known->output(0);
  // A Select and not a product, which would make NaN of an infinity outside the band.
  return make<ov::op::v1::Select>(inside, x, scalar_like(x, 0));
}

OpResults translate_cumsum(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x), 0);
  const bool exclusive = op.boolean("exclusive", false), reverse = op.boolean("reverse", false);
  if (x.get_element_type() == ov::element::f32) {
    return make<CumulativeSum>(x, axis, exclusive, reverse);
  }
  return make<ov::op::v0::CumSum>(x, i64_scalar(axis), exclusive, reverse);
}

Output fill_value(OpContext& op) {
  if (!op.has("value")) return scalar(op.output_element(), 0);
  return convert(rank_zero(op.input("value")), op.output_element());
}

OpResults translate_fill(OpContext& op) {
  return make<ov::op::v3::Broadcast>(fill_value(op), op.index_input("shape"));
}

OpResults translate_fill_like(OpContext& op) {
  return make<ov::op::v3::Broadcast>(fill_value(op), shape_of(op.input("ref_tensor")));
}

OpResults translate_non_zero(OpContext& op) {
  const Output x = op.input("x");
  return transpose(make<ov::op::v3::NonZero>(x, ov::element::i32), {1, 0});
}

OpResults translate_one_hot(OpContext& op) {
  const Output indices = convert(op.input("indices"), ov::element::i32);
  const Output size = rank_zero(convert(op.input("one_hot_vector_size"), ov::element::i64));
  const ov::element::Type type = op.output_element();
  auto value = [&](const char* name, double otherwise) {
    return op.has(name) ? convert(rank_zero(op.input(name)), type) : scalar(type, otherwise);
  };
  const int64_t axis = op.axis("axis", rank(indices) + 1, -1);
  return make<ov::op::v1::OneHot>(indices, size, value("on_value", 1), value("off_value", 0), axis);
}

OpResults translate_pad(OpContext& op) {
  const Output x = op.input("x");
  const std::string mode = op.string("mode", "constant");
  ov::op::PadMode pad_mode = ov::op::PadMode::CONSTANT;
  if (mode == "reflect") {
    pad_mode = ov::op::PadMode::REFLECT;
  } else if (mode == "replicate") {
    pad_mode = ov::op::PadMode::EDGE;
  } else if (mode != "constant") {
    op.fail("the mode \"" + mode + "\" is not one of constant, reflect, replicate");
  }
  Output begin;
  Output end;
  if (op.is_constant("pad")) {
    std::vector<int64_t> pads = op.integers("pad");
    const auto axes = static_cast<size_t>(rank(x));
    op.require(pads.size() % 2 == 0 && pads.size() <= 2 * axes,
               "\"pad\" must have two elements per axis, for the last axes");
    op.require(pads.empty() || *std::min_element(pads.begin(), pads.end()) >= 0,
               "\"pad\" must not be negative");
    pads.insert(pads.begin(), 2 * axes - pads.size(), 0);
    std::vector<int64_t> before(axes);
    std::vector<int64_t> after(axes);
    for (size_t i = 0; i < axes; ++i) {
      before[i] = pads[2 * i];
      after[i] = pads[2 * i + 1];
    }
    begin = i64(before);
    end = i64(after);
  } else {
    const Output pads = op.index_input("pad");
    std::vector<int64_t> even;
    std::vector<int64_t> odd;
    for (int64_t i = 0; i < rank(x); ++i) {
      even.push_back(2 * i);
      odd.push_back(2 * i + 1);
    }
    begin = pick(pads, even);
    end = pick(pads, odd);
  }
  if (pad_mode != ov::op::PadMode::CONSTANT) return make<ov::op::v1::Pad>(x, begin, end, pad_mode);
  const Output value = op.has("constant_val")
                           ? convert(rank_zero(op.input("constant_val")), x.get_element_type())
                           : scalar_like(x, 0);
  return make<ov::op::v1::Pad>(x, begin, end, value, pad_mode);
}

OpResults translate_range_1d(OpContext& op) {
  const Output start = rank_zero(op.input("start"));
  const Output end = rank_zero(op.input("end"));
  const Output step = rank_zero(op.input("step"));
  return make<ov::op::v4::Range>(start, end, step, op.output_element());
}

OpResults translate_shape(OpContext& op) {
  const Output shape = shape_of(op.input("x"));
  return convert(shape, ov::element::i32);
}

OpResults translate_tile(OpContext& op) {
  const Output x = op.input("x");
  if (op.is_constant("reps")) {
    const std::vector<int64_t> reps = op.integers("reps");
    op.require(static_cast<int64_t>(reps.size()) == rank(x),
               "\"reps\" needs one element per axis of x");
    op.require(reps.empty() || *std::min_element(reps.begin(), reps.end()) >= 0,
               "\"reps\" must not be negative");
    if (std::all_of(reps.begin(), reps.end(), [](int64_t rep) { return rep == 1; })) return x;
    return make<ov::op::v0::Tile>(x, i64(reps));
  }
  return make<ov::op::v0::Tile>(x, op.index_input("reps"));
}

// How many of an axis are asked for, checked when the graph runs where it may have fewer:
// OpenVINO gives as many as it is asked for, whatever lies behind the last.
Output checked_count(const Output& k, const Output& x, int64_t axis) {
  const auto known = fold_integers(k);
  const auto position = static_cast<size_t>(axis);
  if (known && (*known)[0] <= x.get_partial_shape()[position].get_min_length()) return k;
  const Output limit = add(dimension_of(x, axis), i64({1}));
  const Output checked = make<CheckIndices>(convert(reshape(k, {1}), ov::element::i32), limit);
  return rank_zero(to_i64(checked));
}

// Values and indices of the k first of an axis in order; of equal ones the earlier comes first.
ov::OutputVector sorted(const Output& x, const Output& k, int64_t axis, bool ascending) {
  // 8-bit types are not sorted everywhere; 32 bits hold them.
  const ov::element::Type type = x.get_element_type();
  const Output keys = type == ov::element::f32 ? x : convert(x, ov::element::i32);
  return make_all<ov::op::v11::TopK>(keys, k, axis,
                                     ascending ? ov::op::TopKMode::MIN : ov::op::TopKMode::MAX,
                                     ov::op::TopKSortType::SORT_VALUES, ov::element::i32, true);
}

OpResults translate_argsort(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x), -1);
  return sorted(x, squeeze(dimension_of(x, axis), {0}), axis, op.boolean("ascending", false))[1];
}

OpResults translate_topk(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x), -1);
  Output k;
  if (op.is_constant("k") || !op.has("k")) {
    const int64_t count = op.integer("k", 1);
    op.require(count >= -1, "\"k\" must not be negative");
    const int64_t length = extent(x, axis);
    op.require(length < 0 || count <= length, "\"k\" is larger than the axis");
    k = count == -1 ? squeeze(dimension_of(x, axis), {0})
                    : checked_count(i64_scalar(count), x, axis);
  } else {
    k = checked_count(rank_zero(to_i64(op.input("k"))), x, axis);
  }
  return sorted(x, k, axis, op.boolean("ascending", false));
}

}  // namespace

OpTable tensor_operation_ops() {
  static constexpr OpEntry kOps[] = {
      {"argsort", translate_argsort},
      {"band_part", translate_band_part, Rounding::kNone},
      {"cumsum", translate_cumsum},
      {"fill", translate_fill, Rounding::kNone},
      {"fill_like", translate_fill_like, Rounding::kNone},
      {"non_zero", translate_non_zero},
      {"one_hot", translate_one_hot, Rounding::kNone},
      {"pad", translate_pad, Rounding::kNone},
      {"range_1d", translate_range_1d},
      {"shape", translate_shape},
      {"tile", translate_tile, Rounding::kNone},
      {"topk", translate_topk, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
