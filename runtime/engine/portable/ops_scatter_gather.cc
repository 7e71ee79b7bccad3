// gather*, scatter*. Indices outside a tensor never reach memory: OpenVINO's CPU plugin checks them
// (gather gives zeros, the others end the execution with an error), but for gather_nd, where they
// are limited here. Indices into a tensor that is empty end the execution.

#include <numeric>

#include "openvino/op/add.hpp"
#include "openvino/op/bitwise_and.hpp"
#include "openvino/op/broadcast.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/gather_elements.hpp"
#include "openvino/op/gather_nd.hpp"
#include "openvino/op/less.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/minimum.hpp"
#include "openvino/op/scatter_elements_update.hpp"
#include "openvino/op/scatter_nd_update.hpp"
#include "openvino/op/scatter_update.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/subtract.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/exact_arithmetic.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

using ElementsReduction = ov::op::v12::ScatterElementsUpdate::Reduction;
using NdReduction = ov::op::v15::ScatterNDUpdate::Reduction;

bool is_i32_of(const Output& value, int64_t number) {
  const auto* const constant = dynamic_cast<const ov::op::v0::Constant*>(value.get_node());
  return constant != nullptr && ov::shape_size(constant->get_shape()) == 1 &&
         constant->cast_vector<int64_t>()[0] == number;
}

// What was cast to 16 bits (ops_elementwise_unary.cc), where the value is that: 65536 is no index
// of a tensor of 3 elements, and must not become one by losing bits on its way.
Output before_narrowing(const Output& value) {
  Output at = value;
  const auto* const shifted_back = dynamic_cast<const ov::op::v1::Subtract*>(at.get_node());
  if (shifted_back != nullptr) {
    if (!is_i32_of(at.get_node()->input_value(1), 32768)) return value;
    at = at.get_node()->input_value(0);
  }
  if (dynamic_cast<const ov::op::v13::BitwiseAnd*>(at.get_node()) == nullptr ||
      !is_i32_of(at.get_node()->input_value(1), 65535))
    return value;
  at = at.get_node()->input_value(0);
  if (shifted_back == nullptr) return at;
  const bool is_shifted = dynamic_cast<const ov::op::v1::Add*>(at.get_node()) != nullptr &&
                          is_i32_of(at.get_node()->input_value(1), 32768);
  return is_shifted ? at.get_node()->input_value(0) : value;
}

// The indices as i32, checked when the program asks for it. `limits` gives the extents they index,
// 1-D.
Output indices_of(OpContext& op, const Output& limits) {
  Output indices = convert(before_narrowing(op.input("indices")), ov::element::i32);
  if (op.boolean("validate_indices", false)) indices = make<CheckIndices>(indices, limits);
  return indices;
}

// Indices from -extent on as indices from 0 on.
Output wrap(const Output& indices, const Output& extent_of_axis) {
  if (auto known = fold(indices)) {
    bool negative = false;
    for (int64_t index : known->cast_vector<int64_t>()) negative = negative || index < 0;
    if (!negative) return indices;
  }
  const Output extent = squeeze(convert(extent_of_axis, ov::element::i32), {0});
  const Output wrapped = make<ov::op::v1::Select>(make<ov::op::v1::Less>(indices, i32_scalar(0)),
                                                  add(indices, extent), indices);
  if (auto known = fold(wrapped)) return known->output(0);
  return wrapped;
}

OpResults translate_gather(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x), 0);
  const Output indices = indices_of(op, dimension_of(x, axis));
  int64_t batch_dims = op.integer("batch_dims", 0);
  if (batch_dims < 0) batch_dims += rank(indices);
  op.require(batch_dims >= 0 && batch_dims <= axis && batch_dims <= rank(indices),
             "\"batch_dims\" does not fit");
  std::vector<int64_t> indexed(static_cast<size_t>(batch_dims));
  std::iota(indexed.begin(), indexed.end(), 0);
  indexed.push_back(axis);
  return make<ov::op::v8::Gather>(x, indices_into(x, indexed, indices), i64_scalar(axis),
                                  batch_dims);
}

OpResults translate_gather_along_axis(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x), 0);
  std::vector<int64_t> every(static_cast<size_t>(rank(x)));
  std::iota(every.begin(), every.end(), 0);
  const Output indices = indices_of(op, dimension_of(x, axis));
  return make<ov::op::v6::GatherElements>(x, indices_into(x, every, indices), axis);
}

// The extents of `data` that the positions of the last axis of `indices` index.
Output nd_limits(OpContext& op, const Output& data, int64_t batch_dims) {
  const int64_t depth = extent(op.input("indices"), -1);
  op.require(depth >= 0, "the last extent of \"indices\" must be known");
  op.require(batch_dims >= 0 && batch_dims <= rank(data) - depth,
             "\"indices\" index more axes than there are");
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < depth; ++i) axes.push_back(batch_dims + i);
  return pick(shape_of(data), axes);
}

// The one gather that the plugin does not check: indices outside [-extent, extent) are brought to
// the nearest inside.
Output limited(const Output& indices, const Output& limits) {
  const Output extents = unsqueeze(convert(limits, ov::element::i32), {0});
  const Output last = subtract(extents, i32_scalar(1));
  const Output wrapped = make<ov::op::v1::Select>(make<ov::op::v1::Less>(indices, i32_scalar(0)),
                                                  add(indices, extents), indices);
  const Output result =
      make<ov::op::v1::Maximum>(make<ov::op::v1::Minimum>(wrapped, last), i32_scalar(0));
  if (auto known = fold(result)) return known->output(0);
  return result;
}

OpResults translate_gather_nd(OpContext& op) {
  const Output x = op.input("x");
  const int64_t batch_dims = op.integer("batch_dims", 0);
  const Output limits = nd_limits(op, x, batch_dims);
  const Output indices = limited(indices_of(op, limits), limits);
  op.require(batch_dims < rank(indices), "\"batch_dims\" does not fit");
  std::vector<int64_t> indexed(static_cast<size_t>(batch_dims + extent(indices, -1)));
  std::iota(indexed.begin(), indexed.end(), 0);
  return make<ov::op::v8::GatherND>(x, indices_into(x, indexed, indices),
                                    static_cast<size_t>(batch_dims));
}

enum class Mode { kUpdate, kAdd, kSub, kMul, kDiv, kMax, kMin };

Mode read_mode(OpContext& op) {
  const std::string mode = op.string("mode", "add");
  if (mode == "update") return Mode::kUpdate;
  if (mode == "add") return Mode::kAdd;
  if (mode == "sub") return Mode::kSub;
  if (mode == "mul") return Mode::kMul;
  if (mode == "div") return Mode::kDiv;
  if (mode == "max") return Mode::kMax;
  if (mode == "min") return Mode::kMin;
  op.fail("the mode \"" + mode + "\" is not one of update, add, sub, mul, div, max, min");
}

Output ones_like(const Output& data) {
  return make<ov::op::v3::Broadcast>(scalar_like(data, 1), shape_of(data));
}

// data divided by the product of all updates of an element.
Output divide_by(const Output& data, const Output& divisors) {
  if (data.get_element_type() == ov::element::i32) {
    return make<ExactArithmetic>(data, divisors, ExactKind::kTruncateDivide);
  }
  return divide(data, divisors);
}

// indices of updates' shape, along one axis.
Output scatter_elements(OpContext& op, const Output& data, const Output& indices,
                        const Output& updates, int64_t axis) {
  auto scatter = [&](const Output& into, const Output& values, ElementsReduction reduction) {
    return make<ov::op::v12::ScatterElementsUpdate>(into, indices, values, i64_scalar(axis),
                                                    reduction, true);
  };
  switch (read_mode(op)) {
    case Mode::kUpdate:
      return scatter(data, updates, ElementsReduction::NONE);
    case Mode::kAdd:
      return scatter(data, updates, ElementsReduction::SUM);
    case Mode::kSub:
      return scatter(data, multiply(updates, scalar_like(updates, -1)), ElementsReduction::SUM);
    case Mode::kMul:
      return scatter(data, updates, ElementsReduction::PROD);
    case Mode::kDiv:
      return divide_by(data, scatter(ones_like(data), updates, ElementsReduction::PROD));
    case Mode::kMax:
      return scatter(data, updates, ElementsReduction::MAX);
    case Mode::kMin:
      return scatter(data, updates, ElementsReduction::MIN);
  }
  op.fail("unknown mode");
}

OpResults translate_scatter(OpContext& op) {
  const Output data = op.input("data");
  const Output updates = op.input("updates");
  const int64_t axis = op.axis("axis", rank(data), 0);
  const Output limit = dimension_of(data, axis);
  const Output indices = indices_of(op, limit);
  op.require(rank(updates) == rank(data) - 1 + rank(indices),
             "the ranks of data, indices and updates do not fit");
  if (read_mode(op) == Mode::kUpdate) {
    return make<ov::op::v3::ScatterUpdate>(data, wrap(indices, limit), updates, i64_scalar(axis));
  }
  // The other modes take one index per updated element: flat indices, spread over the axes of the
  // updates.
  const Output flat = rank(indices) == 1 ? indices : reshape(indices, {-1});
  Output values = updates;
  if (rank(indices) != 1) {
    ov::OutputVector parts;
    for (int64_t i = 0; i < rank(data); ++i)
      parts.push_back(i == axis ? i64({-1}) : dimension_of(data, i));
    values = reshape(updates, concat(parts, 0));
  }
  std::vector<int64_t> column(static_cast<size_t>(rank(data)), 1);
  column[static_cast<size_t>(axis)] = -1;
  const Output spread = make<ov::op::v3::Broadcast>(reshape(flat, column), shape_of(values));
  return scatter_elements(op, data, spread, values, axis);
}

OpResults translate_scatter_along_axis(OpContext& op) {
  const Output data = op.input("data");
  const int64_t axis = op.axis("axis", rank(data), 0);
  const Output indices = indices_of(op, dimension_of(data, axis));
  return scatter_elements(op, data, indices, op.input("updates"), axis);
}

OpResults translate_scatter_nd(OpContext& op) {
  const Output data = op.input("data");
  const Output updates = op.input("updates");
  const Output limits = nd_limits(op, data, 0);
  const Output indices = wrap(indices_of(op, limits), unsqueeze(limits, {0}));
  auto scatter = [&](const Output& into, NdReduction reduction) {
    return make<ov::op::v15::ScatterNDUpdate>(into, indices, updates, reduction);
  };
  switch (read_mode(op)) {
    case Mode::kUpdate:
      return scatter(data, NdReduction::NONE);
    case Mode::kAdd:
      return scatter(data, NdReduction::SUM);
    case Mode::kSub:
      return scatter(data, NdReduction::SUB);
    case Mode::kMul:
      return scatter(data, NdReduction::PROD);
    case Mode::kDiv:
      return divide_by(data, scatter(ones_like(data), NdReduction::PROD));
    case Mode::kMax:
      return scatter(data, NdReduction::MAX);
    case Mode::kMin:
      return scatter(data, NdReduction::MIN);
  }
  op.fail("unknown mode");
}

}  // namespace

OpTable scatter_gather_ops() {
  static constexpr OpEntry kOps[] = {
      {"gather", translate_gather, Rounding::kNone},
      {"gather_along_axis", translate_gather_along_axis, Rounding::kNone},
      {"gather_nd", translate_gather_nd, Rounding::kNone},
      {"scatter", translate_scatter},
      {"scatter_along_axis", translate_scatter_along_axis},
      {"scatter_nd", translate_scatter_nd},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
