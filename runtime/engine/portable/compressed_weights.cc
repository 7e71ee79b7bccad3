#include "runtime/engine/portable/compressed_weights.h"

#include <algorithm>
#include <string>

#include "openvino/op/convert.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/util/multi_subgraph_base.hpp"
#include "runtime/engine/portable/constant_elements.h"
#include "runtime/engine/portable/op_error.h"

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
  std::vector<T> repeated;
  repeated.reserve(target * columns);
  for (size_t row = 0; row < target; ++row) {
    const auto begin = values.begin() + static_cast<ptrdiff_t>(row / (target / rows) * columns);
    repeated.insert(repeated.end(), begin, begin + static_cast<ptrdiff_t>(columns));
  }
  return repeated;
}

bool is_fully_connected_weight(const ov::Input<ov::Node>& user) {
  const auto* product = dynamic_cast<const ov::op::v0::MatMul*>(user.get_node());
  return product != nullptr && user.get_index() == 1 && product->get_transpose_b() &&
         !product->get_transpose_a() && product->get_input_partial_shape(0).rank().is_static() &&
         product->get_input_partial_shape(0).size() >= 2;
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

std::optional<Output> compress(const AffineWeight& weight) {
  const std::vector<int64_t>& shape = weight.data->type.shape;
  const ov::element::Type type = compressed_type(weight.data->type.element);
  if (type == ov::element::dynamic || shape.size() != 2 || shape[0] * shape[1] < kMinimumElements)
    return std::nullopt;
  if (weight.offset != nullptr && weight.offset->type.element != weight.data->type.element)
    return std::nullopt;
  const int64_t rows = shape[0], columns = shape[1], blocks = weight.scale_shape[1];
  const int64_t group = columns / blocks;
  if (blocks > 1 && group % kGroupMultiple != 0) return std::nullopt;

  const size_t scale_rows = static_cast<size_t>(weight.scale_shape[0]),
               scale_columns = static_cast<size_t>(blocks);
  const bool per_tensor = scale_rows == 1 && blocks == 1;
  const size_t target_rows = per_tensor ? 1 : static_cast<size_t>(rows);
  const std::vector<float> scale =
      repeat_rows(weight.scale, scale_rows, scale_columns, target_rows);
  std::vector<int64_t> scale_shape = {static_cast<int64_t>(target_rows), blocks};
  ov::Shape data_shape = {static_cast<size_t>(rows), static_cast<size_t>(columns)};
  if (blocks > 1) {
    data_shape = {static_cast<size_t>(rows), scale_columns, static_cast<size_t>(group)};
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
  if (blocks > 1) value = reshape(value, {rows, columns});
  value.get_node()->get_rt_info()[kMarker] = true;
  return value;
}

void settle_compressed_weights(const std::shared_ptr<ov::Model>& model) {
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    if (auto* outer = dynamic_cast<ov::op::util::MultiSubGraphOp*>(node.get())) {
      for (size_t i = 0; i < outer->get_internal_subgraphs_size(); ++i) {
        settle_compressed_weights(outer->get_function(static_cast<int>(i)));
      }
    }
    if (node->get_rt_info().erase(kMarker) == 0) continue;
    std::vector<ov::Input<ov::Node>> others;
    for (const ov::Input<ov::Node>& user : node->output(0).get_target_inputs()) {
      if (!is_fully_connected_weight(user)) others.push_back(user);
    }
    if (others.empty()) continue;
    const std::shared_ptr<ov::op::v0::Constant> dense = fold(node->output(0));
    if (dense == nullptr)
      throw OpError(
          internal_error("a compressed weight could not be expanded", node->get_friendly_name()));
    dense->set_friendly_name(node->get_friendly_name() + "/dense");
    for (ov::Input<ov::Node>& user : others) user.replace_source_output(dense->output(0));
  }
}

}  // namespace coreml_delegate::engine::portable
