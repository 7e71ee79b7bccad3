#include "runtime/engine/portable/stored_linear_fusion.h"

#include <map>
#include <utility>
#include <vector>

#include "openvino/op/convert.hpp"
#include "openvino/op/matmul.hpp"
#include "runtime/engine/portable/compressed_weights.h"
#include "runtime/engine/portable/constant_elements.h"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/stored_linear.h"

namespace coreml_delegate::engine::portable {
namespace {

using Weight = std::shared_ptr<const StoredWeight>;

// Smaller weights gain nothing.
constexpr int64_t kFewestElements = 16384;
// Rows up to which the kernel is not slower than OpenVINO's on packed weights (measured).
constexpr int64_t kMostRows = 32;

// The rows that are multiplied, -1 where they are known at run time only.
int64_t rows_of(const Output& x) {
  int64_t rows = 1;
  const std::vector<int64_t> shape = extents(x);
  for (size_t i = 0; i + 1 < shape.size(); ++i) {
    if (shape[i] < 0) return -1;
    rows *= shape[i];
    if (rows > kMostRows) return rows;
  }
  return rows;
}

bool is_suited(const std::vector<int64_t>& shape) {
  return shape.size() == 2 && shape[0] > 0 && shape[1] > 0 &&
         shape[1] % kStoredLinearColumns == 0 &&
         shape[0] >= (kFewestElements + shape[1] - 1) / shape[1];
}

// The float16 constant that a weight is the widened value of; null for another.
std::shared_ptr<ov::op::v0::Constant> half_constant(const Output& value) {
  const auto convert = std::dynamic_pointer_cast<ov::op::v0::Convert>(value.get_node_shared_ptr());
  if (convert == nullptr || value.get_element_type() != ov::element::f32) return nullptr;
  auto constant = std::dynamic_pointer_cast<ov::op::v0::Constant>(
      convert->input_value(0).get_node_shared_ptr());
  if (constant == nullptr || constant->get_element_type() != ov::element::f16) return nullptr;
  return constant;
}

Weight half_weight(const Output& value, WeightLayout& layout) {
  const std::shared_ptr<ov::op::v0::Constant> constant = half_constant(value);
  if (constant == nullptr || !is_suited(extents(value))) return nullptr;
  const auto* const data = static_cast<const std::byte*>(constant->get_data_ptr());
  auto weight = std::make_shared<StoredWeight>();
  // The constant has a share in the program's bytes.
  weight->data = layout.place(Bytes(ByteSpan(data, constant->get_byte_size()), constant));
  weight->matrix.element = StoredElement::kHalf;
  weight->matrix.rows = extents(value)[0];
  weight->matrix.columns = extents(value)[1];
  weight->matrix.data = weight->data.bytes.data();
  return weight;
}

bool stored_element(model::ElementType element, StoredElement* stored) {
  switch (element) {
    case model::ElementType::kInt8:
      *stored = StoredElement::kInt8;
      return true;
    case model::ElementType::kUInt8:
      *stored = StoredElement::kUInt8;
      return true;
    case model::ElementType::kInt4:
      *stored = StoredElement::kInt4;
      return true;
    case model::ElementType::kUInt4:
      *stored = StoredElement::kUInt4;
      return true;
    default:
      return false;
  }
}

Weight compressed_weight(const AffineWeight& affine, WeightLayout& layout) {
  const std::vector<int64_t>& shape = affine.data->type.shape;
  auto weight = std::make_shared<StoredWeight>();
  StoredMatrix& matrix = weight->matrix;
  if (!is_suited(shape) || !stored_element(affine.data->type.element, &matrix.element))
    return nullptr;
  matrix.rows = shape[0];
  matrix.columns = shape[1];
  matrix.scale_rows = affine.scale_shape[0];
  matrix.blocks = affine.scale_shape[1];
  if ((matrix.scale_rows != 1 && matrix.scale_rows != matrix.rows) ||
      matrix.columns / matrix.blocks % kStoredLinearColumns != 0)
    return nullptr;
  weight->data = layout.place(affine.data->data);
  const model::ConstantPtr scale =
      affine.stored_scale != nullptr
          ? affine.stored_scale
          : make_real_constant(model::ElementType::kFloat32, affine.scale_shape, affine.scale);
  matrix.scale_is_half = scale->type.element == model::ElementType::kFloat16;
  weight->scale = layout.place(scale->data);
  if (affine.offset != nullptr) weight->offset = layout.place(affine.offset->data);
  matrix.data = weight->data.bytes.data();
  matrix.scale = weight->scale.bytes.data();
  matrix.offset = affine.offset != nullptr ? weight->offset.bytes.data() : nullptr;
  return weight;
}

}  // namespace

void use_stored_weights(const std::shared_ptr<ov::Model>& model, NumericMode mode,
                        WeightLayout& layout) {
  if (stored_linear_kernel() == nullptr) return;
  std::map<Output, Weight> made;
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    const auto product = std::dynamic_pointer_cast<ov::op::v0::MatMul>(node);
    if (product == nullptr || product->get_transpose_a() || !product->get_transpose_b()) continue;
    const Output x = product->input_value(0), value = product->input_value(1);
    if (x.get_element_type() != ov::element::f32 || x.get_partial_shape().rank().is_dynamic() ||
        rank(x) < 2)
      continue;
    const int64_t rows = rows_of(x);
    if (rows < 0 || rows > kMostRows) continue;
    auto known = made.find(value);
    if (known == made.end()) {
      const std::shared_ptr<const AffineWeight> affine = marked_weight(value);
      Weight weight;
      if (affine == nullptr) {
        weight = half_weight(value, layout);
      } else if (mode != NumericMode::kLowPrecision) {
        weight = compressed_weight(*affine, layout);
      }
      known = made.emplace(value, std::move(weight)).first;
    }
    if (known->second == nullptr) continue;
    const Output result = make<StoredLinear>(x, known->second);
    result.get_node()->set_friendly_name(product->get_friendly_name());
    product->output(0).replace(result);
  }
}

}  // namespace coreml_delegate::engine::portable
