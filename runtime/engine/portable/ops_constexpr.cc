// constexpr_* (iOS 16 and 18): constants stored compressed. quantize and dequantize (iOS 17).
//
// The operations exist in two forms: iOS 16 keeps flat packed bytes and a shape, iOS 18 has typed
// constants below 8 bits.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "openvino/op/clamp.hpp"
#include "openvino/op/round.hpp"
#include "runtime/engine/portable/checked_math.h"
#include "runtime/engine/portable/compressed_weights.h"
#include "runtime/engine/portable/constant_elements.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/low_precision.h"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::Constant;
using model::ConstantPtr;
using model::ElementType;

size_t count_of(const Constant& constant) {
  return static_cast<size_t>(constant.type.element_count());
}

// The iOS 16 `shape` argument, bounded by what the stored bytes can hold (`limit` elements).
std::vector<int64_t> stored_shape(const OpContext& op, size_t limit, size_t* count) {
  const std::vector<int64_t> shape = op.integers("shape");
  *count = 1;
  for (int64_t size : shape) {
    op.require(size >= 0, "shape has a negative element");
    op.require(size == 0 || *count <= limit / static_cast<size_t>(size),
               "shape has more elements than the constant stores");
    *count *= static_cast<size_t>(size);
  }
  return shape;
}

// --- Affine ---

void check_blocks(const OpContext& op, const std::vector<int64_t>& data,
                  const std::vector<int64_t>& blocks, std::string_view name) {
  op.require(data.size() == blocks.size(), std::string(name) + " needs the rank of the data");
  for (size_t i = 0; i < data.size(); ++i) {
    op.require(blocks[i] > 0 && data[i] % blocks[i] == 0,
               "the extents of the data are not multiples of those of " + std::string(name));
  }
}

// Dense in float16 mode, where the declared type rounds each element; compressed where that is of
// use otherwise, and in low precision wherever integer kernels may multiply by it.
OpResults affine_result(const OpContext& op, const AffineWeight& weight) {
  if (op.numeric_mode() == NumericMode::kLowPrecision) {
    if (std::optional<Output> integers = low_precision_weight(weight)) return *integers;
  }
  if (op.numeric_mode() != NumericMode::kFloat16) {
    if (std::optional<Output> compressed = compress(weight)) return *compressed;
  }
  return Value(dequantize(weight));
}

ElementType real_type(const OpContext& op, const Constant& scale) {
  op.require(
      scale.type.element == ElementType::kFloat16 || scale.type.element == ElementType::kFloat32,
      "scale must be fp16 or fp32");
  return scale.type.element;
}

// A scalar, or a vector along one axis, as a table of the rank of the data.
std::vector<int64_t> shape_along_axis(const OpContext& op, const Constant& parameter,
                                      const std::vector<int64_t>& data, std::string_view name) {
  std::vector<int64_t> shape(data.size(), 1);
  if (parameter.type.shape.empty() || count_of(parameter) == 1) return shape;
  op.require(parameter.type.shape.size() == 1, std::string(name) + " must be a scalar or a vector");
  const size_t axis = static_cast<size_t>(op.axis("axis", static_cast<int64_t>(data.size())));
  op.require(parameter.type.shape[0] == data[axis],
             std::string(name) + " needs the length of the data along axis");
  shape[axis] = data[axis];
  return shape;
}

ConstantPtr reshaped(const Constant& constant, std::vector<int64_t> shape) {
  auto copy = std::make_shared<Constant>(constant);
  copy->type.shape = std::move(shape);
  return copy;
}

// scale * (data - zero_point) with scalars or vectors along an axis; `zero_point` may be null.
AffineWeight weight_along_axis(const OpContext& op, ConstantPtr data, const Constant& scale,
                               const ConstantPtr& zero_point) {
  AffineWeight weight;
  const std::vector<int64_t>& shape = data->type.shape;
  weight.result = real_type(op, scale);
  weight.scale_shape = shape_along_axis(op, scale, shape, "scale");
  weight.scale = element_values(scale);
  weight.data = std::move(data);
  if (zero_point == nullptr) return weight;
  std::vector<int64_t> offset_shape = shape_along_axis(op, *zero_point, shape, "zero_point");
  if (offset_shape == weight.scale_shape) {
    weight.offset = reshaped(*zero_point, weight.scale_shape);
    return weight;
  }
  // One is a scalar and the other a vector: the scalar repeats.
  if (zero_point->type.element_count() == 1) {
    const size_t count = weight.scale.size();
    const std::vector<std::byte> one = unpack_elements(*zero_point);
    TranslationBudget::charge(count, one.size());
    std::vector<std::byte> all;
    for (size_t i = 0; i < count; ++i) all.insert(all.end(), one.begin(), one.end());
    weight.offset = pack_elements(zero_point->type.element, weight.scale_shape, std::move(all));
  } else {
    TranslationBudget::charge(count_of(*zero_point), sizeof(float));
    weight.scale.assign(count_of(*zero_point), weight.scale.at(0));
    weight.scale_shape = offset_shape;
    weight.offset = reshaped(*zero_point, std::move(offset_shape));
  }
  return weight;
}

OpResults translate_affine_dequantize(OpContext& op) {
  const ConstantPtr zero_point = op.has("zero_point") ? op.numeric_constant("zero_point") : nullptr;
  return affine_result(op, weight_along_axis(op, op.numeric_constant("quantized_data"),
                                             *op.numeric_constant("scale"), zero_point));
}

OpResults translate_blockwise_shift_scale(OpContext& op) {
  AffineWeight weight;
  weight.data = op.numeric_constant("data");
  const ConstantPtr scale = op.numeric_constant("scale");
  weight.result = real_type(op, *scale);
  check_blocks(op, weight.data->type.shape, scale->type.shape, "scale");
  weight.scale_shape = scale->type.shape;
  weight.scale = element_values(*scale);
  weight.stored_scale = scale;
  if (op.has("offset")) {
    weight.offset = op.numeric_constant("offset");
    op.require(weight.offset->type.shape == weight.scale_shape, "offset needs the shape of scale");
  }
  return affine_result(op, weight);
}

// --- Cast ---

OpResults translate_constexpr_cast(OpContext& op) {
  const std::string type = op.string("output_dtype", "fp32");
  if (type != "fp32") op.fail_unsupported("output_dtype \"" + type + "\"; only \"fp32\" is");
  op.require(op.is_constant("source_val"), "source_val must be a constant");
  // The graph value of a half is f32 already.
  return op.input("source_val");
}

// --- Palettes ---

// values[i] = lut[indices[i]] for a palette of vectors: [*blocks, palettes, vector].
struct Palette {
  ElementType element = ElementType::kInvalid;
  std::vector<int64_t> blocks;
  size_t palettes = 0;
  size_t vector = 1;
  std::vector<std::byte> entries;
};

Palette read_palette(const OpContext& op, const std::vector<int64_t>& indices) {
  const ConstantPtr lut = op.numeric_constant("lut");
  const std::vector<int64_t>& shape = lut->type.shape;
  op.require(shape.size() == indices.size() + 2, "lut needs two axes more than the indices");
  Palette palette;
  palette.element = lut->type.element;
  palette.blocks.assign(shape.begin(), shape.end() - 2);
  check_blocks(op, indices, palette.blocks, "lut");
  op.require(shape[shape.size() - 2] > 0 && shape.back() > 0, "lut is empty");
  palette.palettes = static_cast<size_t>(shape[shape.size() - 2]);
  palette.vector = static_cast<size_t>(shape.back());
  palette.entries = unpack_elements(*lut);
  return palette;
}

// The axis along which the vectors of a palette lie.
size_t vector_axis(const OpContext& op, const Palette& palette,
                   const std::vector<int64_t>& indices) {
  op.require(palette.vector == 1 || op.has("vector_axis"),
             "vector_axis is needed for a palette of vectors");
  return static_cast<size_t>(op.axis("vector_axis", static_cast<int64_t>(indices.size()), 0));
}

std::vector<int64_t> expanded_shape(std::vector<int64_t> shape, size_t axis, size_t vector) {
  shape.at(axis) = checked_product(shape.at(axis), static_cast<int64_t>(vector));
  return shape;
}

// The dense elements for unpacked indices of `shape`. Indices beyond the palette fail.
std::vector<std::byte> look_up(const OpContext& op, const Palette& palette,
                               const std::vector<uint8_t>& indices,
                               const std::vector<int64_t>& shape, size_t axis) {
  const size_t size = unpacked_size(palette.element);
  // A palette is at hand with all its bytes, so the last product does not wrap.
  TranslationBudget::charge(indices.size(), palette.vector * size);
  std::vector<std::byte> dense(indices.size() * palette.vector * size);
  // Elements behind one step of `axis`.
  size_t inner = 1;
  for (size_t i = axis + 1; i < shape.size(); ++i) inner *= static_cast<size_t>(shape[i]);
  const size_t along = shape.empty() ? 1 : static_cast<size_t>(shape[axis]);
  std::vector<int64_t> position(shape.size(), 0);
  for (size_t i = 0; i < indices.size(); ++i) {
    op.require(indices[i] < palette.palettes, "an index lies outside the palette");
    size_t block = 0;
    for (size_t k = 0; k < shape.size(); ++k) {
      block = block * static_cast<size_t>(palette.blocks[k]) +
              static_cast<size_t>(position[k] / (shape[k] / palette.blocks[k]));
    }
    const std::byte* entry =
        palette.entries.data() + (block * palette.palettes + indices[i]) * palette.vector * size;
    const size_t outer = i / (inner * along), step = i / inner % along, rest = i % inner;
    for (size_t v = 0; v < palette.vector; ++v) {
      const size_t target = ((outer * along + step) * palette.vector + v) * inner + rest;
      std::memcpy(dense.data() + target * size, entry + v * size, size);
    }
    for (size_t k = shape.size(); k-- > 0;) {
      if (++position[k] < shape[k]) break;
      position[k] = 0;
    }
  }
  return dense;
}

std::vector<uint8_t> unpacked_indices(const OpContext& op, const Constant& indices) {
  op.require(unpacked_size(indices.type.element) == 1,
             "indices must be unsigned integers of at most 8 bits");
  const std::vector<std::byte> bytes = unpack_elements(indices);
  TranslationBudget::charge(bytes.size());
  const auto* values = reinterpret_cast<const uint8_t*>(bytes.data());
  return std::vector<uint8_t>(values, values + bytes.size());
}

OpResults translate_lut_to_dense(OpContext& op) {
  const ConstantPtr indices = op.numeric_constant("indices");
  if (op.has("shape")) {  // iOS 16
    const ConstantPtr lut = op.numeric_constant("lut");
    Palette palette;
    palette.element = lut->type.element;
    palette.palettes = count_of(*lut);
    palette.entries = unpack_elements(*lut);
    int bits = 0;
    while ((size_t{1} << bits) < palette.palettes) ++bits;
    op.require(bits >= 1 && bits <= 8 && (size_t{1} << bits) == palette.palettes,
               "lut needs 2, 4, ... or 256 elements");
    size_t count = 0;
    const std::vector<int64_t> shape =
        stored_shape(op, indices->data.size() * 8 / static_cast<size_t>(bits), &count);
    palette.blocks.assign(shape.size(), 1);
    const std::vector<uint8_t> unpacked = unpack_bits(indices->data.span(), bits, count);
    return Value(pack_elements(palette.element, shape, look_up(op, palette, unpacked, shape, 0)));
  }
  const std::vector<int64_t>& shape = indices->type.shape;
  const Palette palette = read_palette(op, shape);
  const size_t axis = vector_axis(op, palette, shape);
  return Value(pack_elements(palette.element, expanded_shape(shape, axis, palette.vector),
                             look_up(op, palette, unpacked_indices(op, *indices), shape, axis)));
}

// --- Sparse ---

size_t count_set(const std::vector<uint8_t>& mask) {
  return mask.size() - static_cast<size_t>(std::count(mask.begin(), mask.end(), uint8_t{0}));
}

// Puts the stored elements where the mask is set, zero elsewhere. `size` is the bytes of one
// element.
std::vector<std::byte> scatter(const OpContext& op, const std::vector<std::byte>& nonzero,
                               const std::vector<uint8_t>& mask, size_t size) {
  op.require(count_set(mask) * size == nonzero.size(),
             "the mask does not have as many bits as there are elements");
  TranslationBudget::charge(mask.size(), size);
  std::vector<std::byte> dense(mask.size() * size);
  size_t next = 0;
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) continue;
    std::memcpy(dense.data() + i * size, nonzero.data() + next, size);
    next += size;
  }
  return dense;
}

// The inverse: the elements where the mask is set.
std::vector<std::byte> collect(const std::vector<std::byte>& dense,
                               const std::vector<uint8_t>& mask, size_t size) {
  TranslationBudget::charge(count_set(mask), size);
  std::vector<std::byte> nonzero;
  nonzero.reserve(count_set(mask) * size);
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) continue;
    const auto element = dense.begin() + static_cast<ptrdiff_t>(i * size);
    nonzero.insert(nonzero.end(), element, element + static_cast<ptrdiff_t>(size));
  }
  return nonzero;
}

OpResults translate_sparse_to_dense(OpContext& op) {
  const ConstantPtr nonzero = op.numeric_constant("nonzero_data"),
                    mask = op.numeric_constant("mask");
  const size_t size = unpacked_size(nonzero->type.element);
  if (op.has("shape")) {  // iOS 16
    size_t count = 0;
    const std::vector<int64_t> shape = stored_shape(op, mask->data.size() * 8, &count);
    return Value(pack_elements(
        nonzero->type.element, shape,
        scatter(op, unpack_elements(*nonzero), unpack_bits(mask->data.span(), 1, count), size)));
  }
  return Value(
      pack_elements(nonzero->type.element, mask->type.shape,
                    scatter(op, unpack_elements(*nonzero), unpacked_indices(op, *mask), size)));
}

std::vector<std::byte> as_unpacked(const std::vector<uint8_t>& values) {
  std::vector<std::byte> bytes(values.size());
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size());
  return bytes;
}

OpResults translate_lut_to_sparse(OpContext& op) {
  const ConstantPtr mask = op.numeric_constant("indices_mask"),
                    nonzero = op.numeric_constant("indices_nonzero_data");
  const std::vector<int64_t>& shape = mask->type.shape;
  const std::vector<uint8_t> mask_bits = unpacked_indices(op, *mask);
  const Palette palette = read_palette(op, shape);
  const size_t axis = vector_axis(op, palette, shape);
  const std::vector<std::byte> indices =
      scatter(op, as_unpacked(unpacked_indices(op, *nonzero)), mask_bits, 1);
  const auto* codes = reinterpret_cast<const uint8_t*>(indices.data());
  const std::vector<std::byte> dense =
      look_up(op, palette, std::vector<uint8_t>(codes, codes + indices.size()), shape, axis);
  // The mask grows as the elements do: each of its bits stands for a whole vector.
  Palette bits;
  bits.element = ElementType::kUInt8;
  bits.blocks.assign(shape.size(), 1);
  bits.palettes = 2;
  bits.vector = palette.vector;
  bits.entries.assign(2 * palette.vector, std::byte{0});
  std::fill(bits.entries.begin() + static_cast<ptrdiff_t>(palette.vector), bits.entries.end(),
            std::byte{1});
  const std::vector<std::byte> wide = look_up(op, bits, mask_bits, shape, axis);
  const auto* wide_bits = reinterpret_cast<const uint8_t*>(wide.data());
  const std::vector<uint8_t> wide_mask(wide_bits, wide_bits + wide.size());

  std::vector<std::byte> values = collect(dense, wide_mask, unpacked_size(palette.element));
  const int64_t count = static_cast<int64_t>(values.size() / unpacked_size(palette.element));
  OpResults results;
  results.push_back(
      Value(pack_elements(ElementType::kUInt1, expanded_shape(shape, axis, palette.vector), wide)));
  results.push_back(Value(pack_elements(palette.element, {count}, std::move(values))));
  return results;
}

OpResults translate_sparse_blockwise_shift_scale(OpContext& op) {
  const ConstantPtr mask = op.numeric_constant("data_mask"),
                    nonzero = op.numeric_constant("nonzero_data"),
                    scale = op.numeric_constant("scale");
  const std::vector<int64_t>& shape = mask->type.shape;
  const std::vector<uint8_t> mask_bits = unpacked_indices(op, *mask);
  AffineWeight weight;
  weight.data = pack_elements(
      nonzero->type.element, shape,
      scatter(op, unpack_elements(*nonzero), mask_bits, unpacked_size(nonzero->type.element)));
  weight.result = real_type(op, *scale);
  check_blocks(op, shape, scale->type.shape, "scale");
  weight.scale_shape = scale->type.shape;
  weight.scale = element_values(*scale);
  if (op.has("offset")) {
    weight.offset = op.numeric_constant("offset");
    op.require(weight.offset->type.shape == weight.scale_shape, "offset needs the shape of scale");
  }
  const ConstantPtr dense = dequantize(weight);
  std::vector<std::byte> values =
      collect(unpack_elements(*dense), mask_bits, unpacked_size(weight.result));
  const int64_t count = static_cast<int64_t>(values.size() / unpacked_size(weight.result));
  OpResults results;
  results.push_back(Value(mask));
  results.push_back(Value(pack_elements(weight.result, {count}, std::move(values))));
  return results;
}

// --- quantize and dequantize ---
//
// Exact, but in low precision: there they are the nodes that OpenVINO's transformations turn into
// integer kernels, which move results by a step of the scale here and there.

// A scalar or vector parameter as f32 that broadcasts against a value of `value_rank`.
Output parameter_along_axis(const OpContext& op, std::string_view name, int64_t value_rank) {
  op.find_numeric_constant(name);  // Refuses a constant that is none.
  const Output value = convert(op.input(name), ov::element::f32);
  if (rank(value) == 0) return value;
  op.require(rank(value) == 1, std::string(name) + " must be a scalar or a vector");
  if (extent(value, 0) == 1) return reshape(value, std::vector<int64_t>{});
  std::vector<int64_t> shape(static_cast<size_t>(value_rank), 1);
  shape[static_cast<size_t>(op.axis("axis", value_rank))] = -1;
  return reshape(value, shape);
}

// The one value of a constant parameter; none where it is missing, a vector, or not known.
std::optional<float> constant_number(const OpContext& op, std::string_view name) {
  const ConstantPtr constant = op.find_numeric_constant(name);
  if (constant == nullptr || count_of(*constant) != 1) return std::nullopt;
  return static_cast<float>(constant->real_at(0));
}

OpResults translate_quantize(OpContext& op) {
  const Output input = op.input("input");
  const std::string type = op.string("output_dtype");
  op.require(type == "int8" || type == "uint8",
             "output_dtype must be int8 or uint8, not \"" + type + "\"");
  const bool is_signed = type == "int8";
  if (op.numeric_mode() == NumericMode::kLowPrecision) {
    const std::optional<float> scale = constant_number(op, "scale");
    const std::optional<float> zero_point =
        op.has("zero_point") ? constant_number(op, "zero_point") : std::optional(0.0f);
    if (scale && zero_point && std::isnormal(*scale)) {
      return low_precision_quantize(input, *scale, *zero_point, is_signed);
    }
  }
  const int64_t input_rank = rank(input);
  Output value = exact_divide(input, parameter_along_axis(op, "scale", input_rank));
  value = make<ov::op::v5::Round>(value, ov::op::v5::Round::RoundMode::HALF_TO_EVEN);
  if (op.has("zero_point") && !is_all_zero(op, "zero_point")) {
    value = add(value, parameter_along_axis(op, "zero_point", input_rank));
  }
  value = make<ov::op::v0::Clamp>(value, is_signed ? -128.0 : 0.0, is_signed ? 127.0 : 255.0);
  return convert(value, is_signed ? ov::element::i8 : ov::element::u8);
}

OpResults translate_dequantize(OpContext& op) {
  const ConstantPtr constant = op.find_numeric_constant("input"),
                    scale = op.find_numeric_constant("scale");
  if (constant != nullptr && scale != nullptr) {
    const ConstantPtr zero_point =
        op.has("zero_point") ? op.numeric_constant("zero_point") : nullptr;
    return affine_result(op, weight_along_axis(op, constant, *scale, zero_point));
  }
  Output value = convert(op.input("input"), ov::element::f32);
  const int64_t value_rank = rank(value);
  if (op.has("zero_point") && !is_all_zero(op, "zero_point")) {
    value = subtract(value, parameter_along_axis(op, "zero_point", value_rank));
  }
  return multiply(value, parameter_along_axis(op, "scale", value_rank));
}

}  // namespace

OpTable constexpr_ops() {
  static constexpr OpEntry kOps[] = {
      {"constexpr_affine_dequantize", translate_affine_dequantize},
      {"constexpr_blockwise_shift_scale", translate_blockwise_shift_scale},
      {"constexpr_cast", translate_constexpr_cast},
      {"constexpr_lut_to_dense", translate_lut_to_dense},
      {"constexpr_lut_to_sparse", translate_lut_to_sparse},
      {"constexpr_sparse_blockwise_shift_scale", translate_sparse_blockwise_shift_scale},
      {"constexpr_sparse_to_dense", translate_sparse_to_dense},
      {"dequantize", translate_dequantize},
      {"quantize", translate_quantize},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
