// make_list, list_*: a list is its elements stacked along a new first axis. Elements of which the
// program does not know the extents have none until one is written.

#include "openvino/op/add.hpp"
#include "openvino/op/broadcast.hpp"
#include "openvino/op/concat.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/pad.hpp"
#include "openvino/op/reduce_max.hpp"
#include "openvino/op/scatter_update.hpp"
#include "openvino/op/subtract.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;

ListValue list_of(OpContext& op) {
  const Value value = op.value("ls");
  if (value.list() == nullptr) op.fail("the argument \"ls\" must be a list");
  return *value.list();
}

ElementType element_named(OpContext& op, const std::string& name) {
  if (name == "fp32") return ElementType::kFloat32;
  if (name == "fp16") return ElementType::kFloat16;
  if (name == "int32") return ElementType::kInt32;
  if (name == "bool") return ElementType::kBool;
  if (name == "int8") return ElementType::kInt8;
  if (name == "uint8") return ElementType::kUInt8;
  if (name == "int16") return ElementType::kInt16;
  if (name == "uint16") return ElementType::kUInt16;
  op.fail("the dtype \"" + name + "\" cannot be in a list");
}

OpResults translate_make_list(OpContext& op) {
  ListValue list;
  list.element_type.element = element_named(op, op.string("dtype", "fp32"));
  list.grows = op.boolean("dynamic_length", true);
  ov::OutputVector parts;
  if (op.has("init_length")) {
    parts.push_back(reshape(to_i64(op.input("init_length")), {1}));
  } else {
    parts.push_back(i64({1}));
  }
  for (size_t i = 0; i < op.count("elem_shape"); ++i) {
    if (op.is_string("elem_shape", i)) {
      list.element_type.shape.push_back(model::kDynamicExtent);
      parts.push_back(i64({0}));
      continue;
    }
    const model::ConstantPtr extent = op.numeric_constant("elem_shape", i);
    op.require(!model::is_float(extent->type.element), "\"elem_shape\" must be numbers or names");
    for (int64_t k = 0; k < extent->type.element_count(); ++k) {
      const int64_t value = extent->integer_at(k);
      op.require(value >= -1, "\"elem_shape\" has a negative extent");
      list.element_type.shape.push_back(value);
      parts.push_back(i64({value < 0 ? 0 : value}));
    }
  }
  Output shape = concat(parts, 0);
  if (auto known = fold(shape)) shape = known->output(0);
  const Output zero = scalar(runtime_type(list.element_type.element), 0);
  list.elements = make<ov::op::v3::Broadcast>(zero, shape);
  return Value(list);
}

// The elements with room for `length` ones (1-D i64, or null to keep it) of the extents of `value`
// from axis `first` on. New room is zeros.
Output with_room(const ListValue& list, const std::optional<Output>& length, const Output& value,
                 int64_t first) {
  const Output& elements = list.elements;
  ov::OutputVector missing;
  bool anything = false;
  auto add_missing = [&](const Output& wanted, int64_t axis) {
    const Output have = dimension_of(elements, axis);
    Output difference = make<ov::op::v1::Maximum>(subtract(wanted, have), i64({0}));
    if (auto known = fold_integers(difference)) {
      difference = i64(*known);
      anything = anything || (*known)[0] != 0;
    } else {
      anything = true;
    }
    missing.push_back(difference);
  };
  if (length) {
    add_missing(*length, 0);
  } else {
    missing.push_back(i64({0}));
  }
  for (int64_t axis = 1; axis < rank(elements); ++axis)
    add_missing(dimension_of(value, first + axis - 1), axis);
  if (!anything) return elements;
  const std::vector<int64_t> none(static_cast<size_t>(rank(elements)), 0);
  return make<ov::op::v1::Pad>(elements, i64(none), concat(missing, 0), scalar_like(elements, 0),
                               ov::op::PadMode::CONSTANT);
}

// The list's length after a write at `last_index` (1-D i64); none when it stays.
std::optional<Output> length_for(const ListValue& list, const Output& last_index) {
  if (!list.grows) return std::nullopt;
  return make<ov::op::v1::Maximum>(dimension_of(list.elements, 0), add(last_index, i64({1})));
}

OpResults translate_list_write(OpContext& op) {
  ListValue list = list_of(op);
  const Output index = reshape(to_i64(op.input("index")), {1});
  const Output value = convert(op.input("value"), list.elements.get_element_type());
  if (rank(list.elements) != rank(value) + 1) {
    // A list of which only the number of elements is known takes the form of the first value.
    op.require(rank(list.elements) == 1 && list.element_type.shape.empty(),
               "\"value\" does not have the rank of the list's elements");
    list.elements =
        make<ov::op::v3::Broadcast>(scalar_like(list.elements, 0),
                                    concat({dimension_of(list.elements, 0), shape_of(value)}, 0));
  }
  const Output elements = with_room(list, length_for(list, index), value, 0);
  list.elements =
      make<ov::op::v3::ScatterUpdate>(elements, index, unsqueeze(value, {0}), i64_scalar(0));
  return Value(list);
}

OpResults translate_list_scatter(OpContext& op) {
  ListValue list = list_of(op);
  const Output indices = reshape(to_i64(op.input("indices")), {-1});
  const Output value = convert(op.input("value"), list.elements.get_element_type());
  op.require(rank(list.elements) == rank(value),
             "\"value\" does not have the rank of the list's elements");
  const Output last = make<ov::op::v1::ReduceMax>(indices, i64({0}), true);
  const Output elements = with_room(list, length_for(list, last), value, 1);
  list.elements = make<ov::op::v3::ScatterUpdate>(elements, indices, value, i64_scalar(0));
  return Value(list);
}

OpResults translate_list_read(OpContext& op) {
  const Output elements = list_of(op).elements;
  const Output index =
      reshape(convert(op.input("index"), ov::element::i32), std::vector<int64_t>{});
  return make<ov::op::v8::Gather>(elements, indices_into(elements, {0}, index), i64_scalar(0));
}

OpResults translate_list_gather(OpContext& op) {
  const Output elements = list_of(op).elements;
  const Output indices = convert(op.input("indices"), ov::element::i32);
  return make<ov::op::v8::Gather>(elements, indices_into(elements, {0}, indices), i64_scalar(0));
}

OpResults translate_list_length(OpContext& op) {
  return convert(squeeze(dimension_of(list_of(op).elements, 0), {0}), ov::element::i32);
}

}  // namespace

OpTable list_ops() {
  static constexpr OpEntry kOps[] = {
      {"list_gather", translate_list_gather, Rounding::kNone},
      {"list_length", translate_list_length, Rounding::kNone},
      {"list_read", translate_list_read, Rounding::kNone},
      {"list_scatter", translate_list_scatter, Rounding::kNone},
      {"list_write", translate_list_write, Rounding::kNone},
      {"make_list", translate_make_list, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
