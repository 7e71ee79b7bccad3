#include "runtime/engine/portable/compressed_weights.h"

#include <algorithm>
#include <optional>
#include <string>

#include "openvino/op/convert.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/util/multi_subgraph_base.hpp"
#include "runtime/engine/portable/constant_elements.h"
#include "runtime/engine/portable/op_error.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;

constexpr const char* kMarker = "coreml_delegate.compressed_weight";
// Smaller weights gain nothing.
constexpr int64_t kMinimumElements = 4096;
// Groups of columns OpenVINO's kernel was seen to get right: multiples of 8 (groups of 17 gave
// wrong numbers).
constexpr int64_t kGroupMultiple = 8;

ov::element::Type compressed_type(ElementType element) {
  switch (element) {
    case ElementType::kInt4:
      return ov::element::i4;
    case ElementType::kUInt4:
      return ov::element::u4;
    case ElementType::kInt8:
      return ov::element::i8;
    case ElementType::kUInt8:
      return ov::element::u8;
    default:
      return ov::element::dynamic;
  }
}

// A constant of the stored bytes, which it keeps alive.
Output stored_constant(const model::Constant& constant, const ov::element::Type& type,
                       const ov::Shape& shape) {
  return make<ov::op::v0::Constant>(type, shape, static_cast<const void*>(constant.data.data()),
                                    std::make_shared<Bytes>(constant.data));
}

// Repeats each of the rows of a [rows, columns] table until there are `target` of them.
template <typename T>
std::vector<T> repeat_rows(const std::vector<T>& values, size_t rows, size_t columns,
                           size_t target) {
  if (rows == target) return values;
  TranslationBudget::charge(target * columns, sizeof(T));
  std::vector<T> repeated;
  repeated.reserve(target * columns);
  for (size_t row = 0; row < target; ++row) {
    const auto begin = values.begin() + static_cast<ptrdiff_t>(row / (target / rows) * columns);
    repeated.insert(repeated.end(), begin, begin + static_cast<ptrdiff_t>(columns));
  }
  return repeated;
}

// Whether a user is a product that OpenVINO's fully connected kernel computes, the value its
// weight; then also whether it transposes the weight.
bool is_product_weight(const ov::Input<ov::Node>& user, bool* is_transposed) {
  const auto* product = dynamic_cast<const ov::op::v0::MatMul*>(user.get_node());
  if (product == nullptr || user.get_index() != 1 || product->get_transpose_a() ||
      product->get_input_partial_shape(0).rank().is_dynamic() ||
      product->get_input_partial_shape(0).size() < 2)
    return false;
  *is_transposed = product->get_transpose_b();
  return true;
}

// Whether OpenVINO's kernel takes the scales: per tensor, per row, or per row and group of columns.
bool has_scales_of_rows(const std::vector<int64_t>& shape, const std::vector<int64_t>& scales) {
  return scales[1] == 1 || shape[1] / scales[1] % kGroupMultiple == 0;
}

// The same of the transposed weight.
bool has_scales_of_columns(const std::vector<int64_t>& shape, const std::vector<int64_t>& scales) {
  return has_scales_of_rows({shape[1], shape[0]}, {scales[1], scales[0]});
}

// The elements of a [rows, columns] table in the order of [columns, rows].
template <typename T>
std::vector<T> transposed_elements(const std::vector<T>& elements, size_t rows, size_t columns) {
  TranslationBudget::charge(elements.size(), sizeof(T));
  std::vector<T> result(elements.size());
  // In blocks, so that neither side leaves the cache.
  constexpr size_t kBlock = 64;
  for (size_t top = 0; top < rows; top += kBlock) {
    for (size_t left = 0; left < columns; left += kBlock) {
      for (size_t row = top; row < std::min(rows, top + kBlock); ++row) {
        for (size_t column = left; column < std::min(columns, left + kBlock); ++column) {
          result[column * rows + row] = elements[row * columns + column];
        }
      }
    }
  }
  return result;
}

model::ConstantPtr transposed(const model::Constant& constant, int64_t rows, int64_t columns) {
  return pack_elements(constant.type.element, {columns, rows},
                       transposed_elements(unpack_elements(constant), static_cast<size_t>(rows),
                                           static_cast<size_t>(columns)));
}

AffineWeight transposed(const AffineWeight& weight) {
  const std::vector<int64_t>& shape = weight.data->type.shape;
  const int64_t rows = weight.scale_shape[0], columns = weight.scale_shape[1];
  AffineWeight result;
  result.data = transposed(*weight.data, shape[0], shape[1]);
  result.scale_shape = {columns, rows};
  result.scale =
      transposed_elements(weight.scale, static_cast<size_t>(rows), static_cast<size_t>(columns));
  if (weight.offset != nullptr) result.offset = transposed(*weight.offset, rows, columns);
  result.result = weight.result;
  return result;
}

// The form that OpenVINO's kernel takes of a weight that has_scales_of_rows().
Output rows_form(const AffineWeight& weight) {
  const ov::element::Type type = compressed_type(weight.data->type.element);
  const int64_t rows = weight.data->type.shape[0], columns = weight.data->type.shape[1];
  const int64_t blocks = weight.scale_shape[1];
  const size_t scale_rows = static_cast<size_t>(weight.scale_shape[0]),
               scale_columns = static_cast<size_t>(blocks);
  const bool per_tensor = scale_rows == 1 && blocks == 1;
  const size_t target_rows = per_tensor ? 1 : static_cast<size_t>(rows);
  const std::vector<float> scale =
      repeat_rows(weight.scale, scale_rows, scale_columns, target_rows);
  std::vector<int64_t> scale_shape = {static_cast<int64_t>(target_rows), blocks};
  ov::Shape data_shape = {static_cast<size_t>(rows), static_cast<size_t>(columns)};
  if (blocks > 1) {
    data_shape = {static_cast<size_t>(rows), scale_columns, static_cast<size_t>(columns / blocks)};
    scale_shape.push_back(1);
  }
  Output value =
      make<ov::op::v0::Convert>(stored_constant(*weight.data, type, data_shape), ov::element::f32);
  if (weight.offset != nullptr) {
    const model::ConstantPtr offset = pack_elements(
        weight.offset->type.element, scale_shape,
        repeat_rows(unpack_elements(*weight.offset), scale_rows, scale_columns, target_rows));
    const Output node =
        stored_constant(*offset, type, ov::Shape(scale_shape.begin(), scale_shape.end()));
    value = subtract(value, make<ov::op::v0::Convert>(node, ov::element::f32));
  }
  value = multiply(
      value, make<ov::op::v0::Constant>(ov::element::f32,
                                        ov::Shape(scale_shape.begin(), scale_shape.end()), scale));
  return blocks > 1 ? reshape(value, {rows, columns}) : value;
}

// Rows of a weight that an index picks, as of an embedding: they are expanded after they are picked.
// None where the user is something else, or OpenVINO cannot pick rows of the type.
std::optional<Output> picked_rows(const ov::Input<ov::Node>& user, const AffineWeight& weight) {
  const auto* gather = dynamic_cast<const ov::op::v8::Gather*>(user.get_node());
  const ov::element::Type type = compressed_type(weight.data->type.element);
  if (gather == nullptr || user.get_index() != 0 || gather->get_batch_dims() != 0 ||
      fold_integers(gather->input_value(2)) != std::vector<int64_t>{0} ||
      weight.scale_shape[1] != 1 || type.bitwidth() != 8)
    return std::nullopt;
  const Output indices = gather->input_value(1), axis = gather->input_value(2);
  const auto rows_of = [&](const Output& table) {
    return make<ov::op::v8::Gather>(table, indices, axis);
  };
  const std::vector<int64_t>& shape = weight.data->type.shape;
  const auto parameter_of = [&](const Output& table) {
    return weight.scale_shape[0] == 1 ? table : rows_of(table);
  };
  const ov::Shape scale_shape(weight.scale_shape.begin(), weight.scale_shape.end());
  Output value =
      convert(rows_of(stored_constant(*weight.data, type, ov::Shape(shape.begin(), shape.end()))),
              ov::element::f32);
  if (weight.offset != nullptr) {
    value =
        subtract(value, convert(parameter_of(stored_constant(*weight.offset, type, scale_shape)),
                                ov::element::f32));
  }
  return multiply(
      value, parameter_of(make<ov::op::v0::Constant>(ov::element::f32, scale_shape, weight.scale)));
}

// Gives each user of a compressed weight, which is the value of `node`, the form for it.
void settle(const std::shared_ptr<ov::Node>& node, const AffineWeight& weight) {
  const std::vector<int64_t>& shape = weight.data->type.shape;
  const bool of_rows = has_scales_of_rows(shape, weight.scale_shape);
  const bool of_columns = has_scales_of_columns(shape, weight.scale_shape);
  // compress() has put a Transpose behind the form of columns.
  Output columns = of_rows ? Output() : node->input_value(0);
  Output dense;
  for (ov::Input<ov::Node> user : node->output(0).get_target_inputs()) {
    bool is_transposed = false;
    const bool is_weight = is_product_weight(user, &is_transposed);
    if (is_weight && is_transposed && of_rows) continue;
    if (is_weight && !is_transposed && of_columns) {
      if (columns.get_node() == nullptr) columns = rows_form(transposed(weight));
      user.replace_source_output(columns);
      dynamic_cast<ov::op::v0::MatMul*>(user.get_node())->set_transpose_b(true);
      continue;
    }
    if (const std::optional<Output> rows = picked_rows(user, weight)) {
      rows->get_node()->set_friendly_name(user.get_node()->get_friendly_name());
      user.get_node()->output(0).replace(*rows);
      continue;
    }
    if (dense.get_node() == nullptr) {
      const std::shared_ptr<ov::op::v0::Constant> folded = fold(node->output(0));
      if (folded == nullptr) {
        throw OpError(
            internal_error("a compressed weight could not be expanded", node->get_friendly_name()));
      }
      folded->set_friendly_name(node->get_friendly_name() + "/dense");
      dense = folded->output(0);
    }
    user.replace_source_output(dense);
  }
}

}  // namespace

model::ConstantPtr dequantize(const AffineWeight& weight) {
  const std::vector<int64_t>& shape = weight.data->type.shape;
  const size_t axes = shape.size();
  std::vector<float> values = element_values(*weight.data);
  const std::vector<float> offsets =
      weight.offset != nullptr ? element_values(*weight.offset) : std::vector<float>();
  // Runs of the last axis that share a scale; a counter over the other axes.
  const size_t columns = axes == 0 ? 1 : static_cast<size_t>(shape.back());
  const size_t blocks = axes == 0 ? 1 : static_cast<size_t>(weight.scale_shape.back());
  if (values.empty()) return make_real_constant(weight.result, shape, values);
  const size_t run = columns / blocks;
  std::vector<int64_t> position(axes, 0);
  for (size_t row = 0; row < values.size() / columns; ++row) {
    size_t first = 0;
    for (size_t axis = 0; axis + 1 < axes; ++axis) {
      const int64_t block = shape[axis] / weight.scale_shape[axis];
      first = first * static_cast<size_t>(weight.scale_shape[axis]) +
              static_cast<size_t>(position[axis] / block);
    }
    first *= blocks;
    float* element = values.data() + row * columns;
    for (size_t block = 0; block < blocks; ++block) {
      const float scale = weight.scale[first + block];
      const float offset = offsets.empty() ? 0.0f : offsets[first + block];
      for (size_t i = 0; i < run; ++i, ++element) *element = (*element - offset) * scale;
    }
    for (size_t axis = axes == 0 ? 0 : axes - 1; axis-- > 0;) {
      if (++position[axis] < shape[axis]) break;
      position[axis] = 0;
    }
  }
  return make_real_constant(weight.result, shape, values);
}

bool multiplies_compressed_weights([[maybe_unused]] const CpuFeatures& features) {
#if defined(__x86_64__)
  return features.has(CpuFeature::kAvx2);
#else
  return true;
#endif
}

std::optional<Output> compress(const AffineWeight& weight) {
  if (!multiplies_compressed_weights(cpu_features())) return std::nullopt;
  const std::vector<int64_t>& shape = weight.data->type.shape;
  if (compressed_type(weight.data->type.element) == ov::element::dynamic || shape.size() != 2 ||
      shape[0] * shape[1] < kMinimumElements)
    return std::nullopt;
  if (weight.offset != nullptr && weight.offset->type.element != weight.data->type.element)
    return std::nullopt;
  Output value;
  if (has_scales_of_rows(shape, weight.scale_shape)) {
    value = rows_form(weight);
  } else if (has_scales_of_columns(shape, weight.scale_shape)) {
    value = transpose(rows_form(transposed(weight)), {1, 0});
  } else {
    return std::nullopt;
  }
  value.get_node()->get_rt_info()[kMarker] = std::make_shared<const AffineWeight>(weight);
  return value;
}

std::shared_ptr<const AffineWeight> marked_weight(const Output& value) {
  const auto& info = value.get_node()->get_rt_info();
  const auto marker = info.find(kMarker);
  if (marker == info.end()) return nullptr;
  return marker->second.as<std::shared_ptr<const AffineWeight>>();
}

void settle_compressed_weights(const std::shared_ptr<ov::Model>& model) {
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    if (auto* outer = dynamic_cast<ov::op::util::MultiSubGraphOp*>(node.get())) {
      for (size_t i = 0; i < outer->get_internal_subgraphs_size(); ++i) {
        settle_compressed_weights(outer->get_function(static_cast<int>(i)));
      }
    }
    const auto marker = node->get_rt_info().find(kMarker);
    if (marker == node->get_rt_info().end()) continue;
    const auto weight = marker->second.as<std::shared_ptr<const AffineWeight>>();
    node->get_rt_info().erase(marker);
    settle(node, *weight);
  }
}

}  // namespace coreml_delegate::engine::portable
