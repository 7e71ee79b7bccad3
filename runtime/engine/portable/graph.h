#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_GRAPH_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_GRAPH_H_

// Short spellings for building OpenVINO nodes, and what can be known about a value before the graph
// runs. Everything here throws ov::Exception for what OpenVINO refuses; translate() turns it into a
// Status that names the operation.
//
// Thread rule: as for the graph being built.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "openvino/core/node.hpp"
#include "openvino/op/constant.hpp"
#include "runtime/engine/portable/value.h"

namespace coreml_delegate::engine::portable {

// make<ov::op::v1::Add>(x, y): the first output of a new node.
template <typename Op, typename... Args>
Output make(Args&&... args) {
  return std::make_shared<Op>(std::forward<Args>(args)...)->output(0);
}
// Every output of a new node.
template <typename Op, typename... Args>
ov::OutputVector make_all(Args&&... args) {
  return std::make_shared<Op>(std::forward<Args>(args)...)->outputs();
}

// --- Types ---

// The type a MIL value has inside the graph: float16 and float64 are f32 (the numeric mode decides
// about rounding), 16-bit and 64-bit integers are i32, int8, uint8 and bool are themselves,
// sub-byte integers are i8 or u8. Fails for strings.
ov::element::Type runtime_type(model::ElementType element);
// The type of a function's input or output at the border of the graph: exactly the MIL type.
ov::element::Type border_type(model::ElementType element);
ov::PartialShape partial_shape(const model::ValueType& type);

// --- Constants ---

Output i64(const std::vector<int64_t>& values);  // 1-D.
Output i64_scalar(int64_t value);
Output i32_scalar(int32_t value);
Output f32(float value);                              // Rank 0.
Output f32_vector(const std::vector<float>& values);  // 1-D.
// Rank 0 of `type`.
Output scalar(const ov::element::Type& type, double value);
Output scalar_like(const Output& value, double number);
// A MIL constant as a graph constant of its runtime type. Large ones share the program's bytes.
// Fails for strings and lists.
Output constant_node(const model::Constant& constant);
// A dense MIL constant that owns its bytes.
model::ConstantPtr make_constant(model::ElementType element, const std::vector<int64_t>& shape,
                                 std::vector<std::byte> data);
model::ConstantPtr make_constant(const std::vector<int32_t>& values);  // 1-D int32.
// A graph constant as a MIL constant: float32, int8, uint8, bool, int32 or int64.
model::ConstantPtr program_constant(const ov::op::v0::Constant& constant);

// The value when it can be computed now: a Constant, or nodes of which all leaves are constants or
// static shapes. Refuses results above `max_elements`. Null when it is not known before the graph
// runs.
std::shared_ptr<ov::op::v0::Constant> fold(const Output& value,
                                           size_t max_elements = size_t{1} << 26);
std::optional<std::vector<int64_t>> fold_integers(const Output& value);

// --- Shapes ---

// fail by throwing when the rank is not known.
int64_t rank(const Output& value);
// The product of the extents; the largest number where it does not fit.
uint64_t element_count(const ov::Shape& shape);
bool is_static(const Output& value);
// The extent, or -1 where it is known at run time only.
int64_t extent(const Output& value, int64_t axis);
std::vector<int64_t> extents(const Output& value);  // -1 for the unknown ones.
// The shape as a 1-D i64 value: a constant when static.
Output shape_of(const Output& value);
// One extent as a 1-D i64 value of one element.
Output dimension_of(const Output& value, int64_t axis);

// --- Readers ---

// The one node that reads a value; null when there are more or none.
ov::Node* only_user(const Output& value);

// --- Frequent nodes. All leave the value alone when there is nothing to do. ---

Output convert(const Output& value, const ov::element::Type& type);
// To i64, for shape arithmetic.
Output to_i64(const Output& value);
// A target of static or -1 (one at most) extents.
Output reshape(const Output& value, const std::vector<int64_t>& shape);
Output reshape(const Output& value, const Output& shape);
// The value with one extent known to be `length`: the execution fails where it is not. OpenVINO's
// CPU plugin reads out of bounds when an extent known at run time only does not fit a constant
// MatMul weight.
Output with_extent(const Output& value, int64_t axis, int64_t length);
Output unsqueeze(const Output& value, const std::vector<int64_t>& axes);
Output squeeze(const Output& value, const std::vector<int64_t>& axes);
Output transpose(const Output& value, const std::vector<int64_t>& permutation);
Output concat(const ov::OutputVector& values, int64_t axis);
// Elements begin, begin + step ... before end along one axis; negative numbers count from the end
// as in Python.
Output slice(const Output& value, int64_t axis, int64_t begin, int64_t end, int64_t step = 1);
// 1-D pieces of a 1-D i64 value: elements at `indices`.
Output pick(const Output& vector, const std::vector<int64_t>& indices);
Output add(const Output& a, const Output& b);
Output subtract(const Output& a, const Output& b);
Output multiply(const Output& a, const Output& b);
Output divide(const Output& a, const Output& b);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_GRAPH_H_
