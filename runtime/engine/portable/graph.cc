#include "runtime/engine/portable/graph.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "openvino/core/runtime_attribute.hpp"
#include "openvino/op/add.hpp"
#include "openvino/op/concat.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/divide.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/multiply.hpp"
#include "openvino/op/reshape.hpp"
#include "openvino/op/shape_of.hpp"
#include "openvino/op/slice.hpp"
#include "openvino/op/squeeze.hpp"
#include "openvino/op/subtract.hpp"
#include "openvino/op/transpose.hpp"
#include "openvino/op/unsqueeze.hpp"
#include "runtime/engine/portable/op_error.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;

// Constants up to this many bytes are copied; larger ones borrow the program's bytes.
constexpr size_t kCopyLimit = 4096;
// fold() looks no further than this many nodes deep.
constexpr int kFoldDepth = 64;

// What OpenVINO's own reader of float16 models puts on the conversion of a weight to float32, in a
// class whose header it does not install: the CPU plugin then converts when it packs the weight for
// its kernel, instead of keeping a float32 copy of it in the graph beside the packed one.
class Decompression : public ov::RuntimeAttribute {
 public:
  OPENVINO_RTTI("decompression", "0", ov::RuntimeAttribute)
  bool visit_attributes(ov::AttributeVisitor&) override { return true; }
  bool is_copyable() const override { return false; }
};

// The type of the bytes as the program stores them; undefined for what OpenVINO has no type for.
ov::element::Type stored_type(ElementType element) {
  switch (element) {
    case ElementType::kBool:
      return ov::element::boolean;
    case ElementType::kFloat16:
      return ov::element::f16;
    case ElementType::kFloat32:
      return ov::element::f32;
    case ElementType::kFloat64:
      return ov::element::f64;
    case ElementType::kBFloat16:
      return ov::element::bf16;
    case ElementType::kFloat8E4M3FN:
      return ov::element::f8e4m3;
    case ElementType::kFloat8E5M2:
      return ov::element::f8e5m2;
    case ElementType::kInt4:
      return ov::element::i4;
    case ElementType::kInt8:
      return ov::element::i8;
    case ElementType::kInt16:
      return ov::element::i16;
    case ElementType::kInt32:
      return ov::element::i32;
    case ElementType::kInt64:
      return ov::element::i64;
    case ElementType::kUInt4:
      return ov::element::u4;
    case ElementType::kUInt8:
      return ov::element::u8;
    case ElementType::kUInt16:
      return ov::element::u16;
    case ElementType::kUInt32:
      return ov::element::u32;
    case ElementType::kUInt64:
      return ov::element::u64;
    case ElementType::kInvalid:
    case ElementType::kString:
    case ElementType::kUInt1:
    case ElementType::kUInt2:
    case ElementType::kUInt3:
    case ElementType::kUInt6:
      return ov::element::dynamic;
  }
  return ov::element::dynamic;
}

ov::Shape static_shape(const std::vector<int64_t>& shape) {
  return ov::Shape(shape.begin(), shape.end());
}

template <typename T, typename Read>
Output converted_constant(const model::Constant& constant, const ov::element::Type& type,
                          Read read) {
  const size_t count = static_cast<size_t>(constant.type.element_count());
  TranslationBudget::charge(count, 2 * sizeof(T));  // The values, and the node's copy of them.
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<T>(read(static_cast<int64_t>(i)));
  return make<ov::op::v0::Constant>(type, static_shape(constant.type.shape),
                                    static_cast<const void*>(values.data()));
}

// A constant whose stored and runtime types differ, element by element.
Output convert_elements(const model::Constant& constant) {
  const ov::element::Type type = runtime_type(constant.type.element);
  auto real = [&](int64_t i) { return constant.real_at(i); };
  auto integer = [&](int64_t i) { return constant.integer_at(i); };
  if (type == ov::element::f32) return converted_constant<float>(constant, type, real);
  if (type == ov::element::i32) return converted_constant<int32_t>(constant, type, integer);
  if (type == ov::element::i8) return converted_constant<int8_t>(constant, type, integer);
  if (type == ov::element::u8) return converted_constant<uint8_t>(constant, type, integer);
  // bool: any byte but zero is true.
  return converted_constant<uint8_t>(constant, type,
                                     [&](int64_t i) { return constant.integer_at(i) != 0; });
}

Output decompress(const Output& half) {
  const Output converted = make<ov::op::v0::Convert>(half, ov::element::f32);
  converted.get_node()->get_rt_info()[Decompression::get_type_info_static()] = Decompression();
  return converted;
}

}  // namespace

ov::element::Type runtime_type(ElementType element) {
  switch (element) {
    case ElementType::kFloat16:
    case ElementType::kFloat32:
    case ElementType::kFloat64:
    case ElementType::kBFloat16:
    case ElementType::kFloat8E4M3FN:
    case ElementType::kFloat8E5M2:
      return ov::element::f32;
    case ElementType::kInt4:
    case ElementType::kInt8:
      return ov::element::i8;
    case ElementType::kUInt1:
    case ElementType::kUInt2:
    case ElementType::kUInt3:
    case ElementType::kUInt4:
    case ElementType::kUInt6:
    case ElementType::kUInt8:
      return ov::element::u8;
    case ElementType::kInt16:
    case ElementType::kUInt16:
    case ElementType::kInt32:
    case ElementType::kUInt32:
    case ElementType::kInt64:
    case ElementType::kUInt64:
      return ov::element::i32;
    case ElementType::kBool:
      return ov::element::boolean;
    case ElementType::kInvalid:
    case ElementType::kString:
      break;
  }
  throw OpError(unsupported("values of the type " + std::string(model::element_type_name(element)) +
                            " cannot be used in computations"));
}

ov::element::Type border_type(ElementType element) {
  switch (element) {
    case ElementType::kBool:
    case ElementType::kFloat16:
    case ElementType::kFloat32:
    case ElementType::kFloat64:
    case ElementType::kInt8:
    case ElementType::kInt16:
    case ElementType::kInt32:
    case ElementType::kInt64:
    case ElementType::kUInt8:
    case ElementType::kUInt16:
    case ElementType::kUInt32:
      return stored_type(element);
    default:
      break;
  }
  throw OpError(unsupported("a function's input or output cannot be of the type " +
                            std::string(model::element_type_name(element))));
}

ov::PartialShape partial_shape(const model::ValueType& type) {
  if (type.unknown_rank) return ov::PartialShape::dynamic();
  std::vector<ov::Dimension> dimensions;
  for (int64_t extent : type.shape) {
    dimensions.push_back(extent < 0 ? ov::Dimension::dynamic() : ov::Dimension(extent));
  }
  return ov::PartialShape(std::move(dimensions));
}

Output i64(const std::vector<int64_t>& values) {
  return make<ov::op::v0::Constant>(ov::element::i64, ov::Shape{values.size()}, values);
}

Output i64_scalar(int64_t value) {
  return make<ov::op::v0::Constant>(ov::element::i64, ov::Shape{}, std::vector<int64_t>{value});
}

Output i32_scalar(int32_t value) {
  return make<ov::op::v0::Constant>(ov::element::i32, ov::Shape{}, std::vector<int32_t>{value});
}

Output f32(float value) {
  return make<ov::op::v0::Constant>(ov::element::f32, ov::Shape{}, std::vector<float>{value});
}

Output f32_vector(const std::vector<float>& values) {
  return make<ov::op::v0::Constant>(ov::element::f32, ov::Shape{values.size()}, values);
}

Output scalar(const ov::element::Type& type, double value) {
  return make<ov::op::v0::Constant>(type, ov::Shape{}, std::vector<double>{value});
}

Output scalar_like(const Output& value, double number) {
  return scalar(value.get_element_type(), number);
}

Output constant_node(const model::Constant& constant) {
  if (constant.type.kind != model::ValueType::Kind::kTensor) {
    throw OpError(corrupt_data("a constant of the type " + constant.type.to_string() +
                               " cannot be a tensor"));
  }
  const ElementType element = constant.type.element;
  const ov::element::Type target = runtime_type(element);
  const ov::element::Type stored = stored_type(element);
  const bool same = stored == target && target != ov::element::boolean;
  const bool large_half = stored == ov::element::f16 && constant.data.size() > kCopyLimit;
  if (!same && !large_half) return convert_elements(constant);
  const ov::Shape shape = static_shape(constant.type.shape);
  const void* bytes = constant.data.data();
  const bool aligned = reinterpret_cast<uintptr_t>(bytes) % stored.size() == 0;
  Output node;
  if (constant.data.size() > kCopyLimit && aligned && constant.data.owner() != nullptr) {
    node = make<ov::op::v0::Constant>(stored, shape, bytes,
                                      std::const_pointer_cast<void>(constant.data.owner()));
  } else {
    node = make<ov::op::v0::Constant>(stored, shape, bytes);
  }
  return large_half ? decompress(node) : convert(node, target);
}

model::ConstantPtr make_constant(ElementType element, const std::vector<int64_t>& shape,
                                 std::vector<std::byte> data) {
  auto owner = std::make_shared<std::vector<std::byte>>(std::move(data));
  auto constant = std::make_shared<model::Constant>();
  constant->type.element = element;
  constant->type.shape = shape;
  constant->data = Bytes(ByteSpan(*owner), owner);
  return constant;
}

model::ConstantPtr make_constant(const std::vector<int32_t>& values) {
  std::vector<std::byte> data(values.size() * sizeof(int32_t));
  if (!values.empty()) std::memcpy(data.data(), values.data(), data.size());
  return make_constant(ElementType::kInt32, {static_cast<int64_t>(values.size())}, std::move(data));
}

model::ConstantPtr program_constant(const ov::op::v0::Constant& constant) {
  static constexpr std::pair<ov::element::Type_t, ElementType> kTypes[] = {
      {ov::element::Type_t::f32, ElementType::kFloat32},
      {ov::element::Type_t::f16, ElementType::kFloat16},
      {ov::element::Type_t::i32, ElementType::kInt32},
      {ov::element::Type_t::i64, ElementType::kInt64},
      {ov::element::Type_t::i8, ElementType::kInt8},
      {ov::element::Type_t::u8, ElementType::kUInt8},
      {ov::element::Type_t::boolean, ElementType::kBool},
  };
  for (const auto& [type, element] : kTypes) {
    if (constant.get_element_type() != type) continue;
    TranslationBudget::charge(constant.get_byte_size());
    const auto* bytes = static_cast<const std::byte*>(constant.get_data_ptr());
    const ov::Shape& shape = constant.get_shape();
    return make_constant(element, std::vector<int64_t>(shape.begin(), shape.end()),
                         std::vector<std::byte>(bytes, bytes + constant.get_byte_size()));
  }
  return nullptr;
}

namespace {

using FoldMemo = std::unordered_map<ov::Node*, ov::OutputVector>;

// The outputs of a node as constants; empty when they are not known.
ov::OutputVector fold_node(ov::Node* node, int depth, size_t max_elements, FoldMemo& memo) {
  if (auto it = memo.find(node); it != memo.end()) return it->second;
  ov::OutputVector& result = memo[node];
  if (dynamic_cast<ov::op::v0::Constant*>(node) != nullptr) {
    result = node->outputs();
    return result;
  }
  if (depth == 0) return result;
  for (const Output& output : node->outputs()) {
    if (output.get_partial_shape().rank().is_dynamic()) return result;
    if (output.get_partial_shape().is_static() && element_count(output.get_shape()) > max_elements)
      return result;
  }
  ov::OutputVector inputs = node->input_values();
  if (inputs.empty()) return result;
  const bool is_shape_of = dynamic_cast<ov::op::util::ShapeOfBase*>(node) != nullptr;
  if (!is_shape_of) {
    for (Output& input : inputs) {
      const ov::OutputVector folded = fold_node(input.get_node(), depth - 1, max_elements, memo);
      if (folded.empty()) return ov::OutputVector();
      input = folded[input.get_index()];
    }
  } else if (inputs[0].get_partial_shape().is_dynamic()) {
    return ov::OutputVector();
  }
  for (const Output& output : node->outputs()) {
    if (output.get_partial_shape().is_static())
      TranslationBudget::charge(element_count(output.get_shape()),
                                output.get_element_type().size());
  }
  ov::OutputVector values(node->get_output_size());
  if (!node->constant_fold(values, inputs)) return ov::OutputVector();
  memo[node] = values;
  return values;
}

}  // namespace

std::shared_ptr<ov::op::v0::Constant> fold(const Output& value, size_t max_elements) {
  FoldMemo memo;
  const ov::OutputVector outputs = fold_node(value.get_node(), kFoldDepth, max_elements, memo);
  if (outputs.empty()) return nullptr;
  return std::dynamic_pointer_cast<ov::op::v0::Constant>(
      outputs[value.get_index()].get_node_shared_ptr());
}

std::optional<std::vector<int64_t>> fold_integers(const Output& value) {
  auto constant = fold(value, 4096);
  if (constant == nullptr) return std::nullopt;
  return constant->cast_vector<int64_t>();
}

uint64_t element_count(const ov::Shape& shape) {
  if (std::find(shape.begin(), shape.end(), size_t{0}) != shape.end()) return 0;
  uint64_t count = 1;
  for (const size_t extent : shape) {
    if (__builtin_mul_overflow(count, extent, &count)) return std::numeric_limits<uint64_t>::max();
  }
  return count;
}

int64_t rank(const Output& value) {
  const ov::Rank rank = value.get_partial_shape().rank();
  if (rank.is_dynamic())
    throw OpError(
        unsupported("the rank of an argument must be known when the program is compiled"));
  return rank.get_length();
}

bool is_static(const Output& value) { return value.get_partial_shape().is_static(); }

int64_t extent(const Output& value, int64_t axis) {
  const int64_t r = rank(value);
  if (axis < 0) axis += r;
  if (axis < 0 || axis >= r)
    throw OpError(corrupt_data("an argument has the rank " + std::to_string(r)));
  const ov::Dimension& dimension = value.get_partial_shape()[static_cast<size_t>(axis)];
  return dimension.is_static() ? dimension.get_length() : -1;
}

std::vector<int64_t> extents(const Output& value) {
  std::vector<int64_t> result;
  const int64_t r = rank(value);
  for (int64_t i = 0; i < r; ++i) result.push_back(extent(value, i));
  return result;
}

Output shape_of(const Output& value) {
  if (is_static(value)) return i64(extents(value));
  return make<ov::op::v3::ShapeOf>(value, ov::element::i64);
}

Output dimension_of(const Output& value, int64_t axis) {
  const int64_t known = extent(value, axis);
  if (known >= 0) return i64({known});
  return pick(shape_of(value), {axis < 0 ? axis + rank(value) : axis});
}

ov::Node* only_user(const Output& value) {
  const auto users = value.get_target_inputs();
  return users.size() == 1 ? users.begin()->get_node() : nullptr;
}

Output convert(const Output& value, const ov::element::Type& type) {
  if (value.get_element_type() == type) return value;
  return make<ov::op::v0::Convert>(value, type);
}

Output to_i64(const Output& value) { return convert(value, ov::element::i64); }

Output reshape(const Output& value, const std::vector<int64_t>& shape) {
  if (is_static(value) && extents(value) == shape) return value;
  return make<ov::op::v1::Reshape>(value, i64(shape), false);
}

Output reshape(const Output& value, const Output& shape) {
  return make<ov::op::v1::Reshape>(value, shape, false);
}

Output with_extent(const Output& value, int64_t axis, int64_t length) {
  std::vector<int64_t> shape(static_cast<size_t>(rank(value)), 0);  // 0 keeps.
  if (axis < 0) axis += rank(value);
  shape.at(static_cast<size_t>(axis)) = length;
  return make<ov::op::v1::Reshape>(value, i64(shape), true);
}

Output unsqueeze(const Output& value, const std::vector<int64_t>& axes) {
  if (axes.empty()) return value;
  return make<ov::op::v0::Unsqueeze>(value, i64(axes));
}

Output squeeze(const Output& value, const std::vector<int64_t>& axes) {
  if (axes.empty()) return value;
  return make<ov::op::v0::Squeeze>(value, i64(axes));
}

Output transpose(const Output& value, const std::vector<int64_t>& permutation) {
  bool identity = true;
  for (size_t i = 0; i < permutation.size(); ++i)
    identity = identity && permutation[i] == static_cast<int64_t>(i);
  if (identity) return value;
  return make<ov::op::v1::Transpose>(value, i64(permutation));
}

Output concat(const ov::OutputVector& values, int64_t axis) {
  if (values.size() == 1) return values[0];
  return make<ov::op::v0::Concat>(values, axis);
}

Output slice(const Output& value, int64_t axis, int64_t begin, int64_t end, int64_t step) {
  return make<ov::op::v8::Slice>(value, i64({begin}), i64({end}), i64({step}), i64({axis}));
}

Output pick(const Output& vector, const std::vector<int64_t>& indices) {
  return make<ov::op::v8::Gather>(vector, i64(indices), i64_scalar(0));
}

Output add(const Output& a, const Output& b) { return make<ov::op::v1::Add>(a, b); }
Output subtract(const Output& a, const Output& b) { return make<ov::op::v1::Subtract>(a, b); }
Output multiply(const Output& a, const Output& b) { return make<ov::op::v1::Multiply>(a, b); }
Output divide(const Output& a, const Output& b) { return make<ov::op::v1::Divide>(a, b); }

}  // namespace coreml_delegate::engine::portable
