#include "runtime/engine/portable/stored_linear.h"

#include <algorithm>
#include <string>
#include <utility>

#include "openvino/runtime/tensor.hpp"
#include "runtime/engine/portable/op_error.h"
#include "runtime/engine/portable/parallel.h"

namespace coreml_delegate::engine::portable {
namespace {

// Multiplications that are worth a thread of their own.
constexpr double kWorkOfPart = 1 << 16;
// Parts for each thread, so that one that is late does not hold up all.
constexpr int64_t kPartsPerThread = 4;
// Rows of W come in parts of multiples of this.
constexpr int64_t kRowsOfUnit = 8;

constexpr int64_t kLargestExtent = int64_t{1} << 30;

// The bytes of each part of a matrix; scale and offset 0 where it has none.
struct Sizes {
  uint64_t data = 0, scale = 0, offset = 0;
};

bool has_scales(const StoredMatrix& matrix) { return matrix.element != StoredElement::kHalf; }

Sizes sizes_of(const StoredMatrix& matrix, bool has_offset) {
  Sizes sizes;
  sizes.data =
      static_cast<uint64_t>(matrix.rows * stored_row_bytes(matrix.element, matrix.columns));
  if (!has_scales(matrix)) return sizes;
  const int64_t count = matrix.scale_rows * matrix.blocks;
  sizes.scale = static_cast<uint64_t>(count * (matrix.scale_is_half ? 2 : 4));
  if (has_offset)
    sizes.offset = static_cast<uint64_t>((stored_row_bytes(matrix.element, 2 * count) + 1) / 2);
  return sizes;
}

// Whether the numbers describe a matrix that the kernel takes.
bool is_sound(const StoredMatrix& matrix) {
  const auto is_extent = [](int64_t value) { return value > 0 && value <= kLargestExtent; };
  if (!is_extent(matrix.rows) || !is_extent(matrix.columns) ||
      matrix.columns % kStoredLinearColumns != 0)
    return false;
  if (!has_scales(matrix)) return matrix.element == StoredElement::kHalf;
  return matrix.element <= StoredElement::kUInt4 &&
         (matrix.scale_rows == 1 || matrix.scale_rows == matrix.rows) && is_extent(matrix.blocks) &&
         matrix.columns % matrix.blocks == 0 &&
         matrix.columns / matrix.blocks % kStoredLinearColumns == 0;
}

}  // namespace

StoredLinear::StoredLinear(const ov::Output<ov::Node>& x,
                           std::shared_ptr<const StoredWeight> weight)
    : Op({x}), weight_(std::move(weight)) {
  constructor_validate_and_infer_types();
}

void StoredLinear::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, get_input_size() == 1, "StoredLinear takes one value");
  NODE_VALIDATION_CHECK(this, get_input_element_type(0) == ov::element::f32,
                        "StoredLinear takes f32");
  NODE_VALIDATION_CHECK(this, weight_ != nullptr && is_sound(weight_->matrix),
                        "StoredLinear has no weight that its kernel takes");
  const StoredMatrix& matrix = weight_->matrix;
  const bool has_offset = weight_->offset.bytes.size() != 0;
  const Sizes sizes = sizes_of(matrix, has_offset);
  NODE_VALIDATION_CHECK(this,
                        weight_->data.bytes.size() == sizes.data &&
                            weight_->scale.bytes.size() == sizes.scale &&
                            weight_->offset.bytes.size() == sizes.offset,
                        "StoredLinear has a weight of another size than its shape");
  ov::PartialShape shape = get_input_partial_shape(0);
  NODE_VALIDATION_CHECK(this,
                        shape.rank().is_static() && shape.size() > 0 &&
                            shape[shape.size() - 1].compatible(matrix.columns),
                        "x is [..., ", matrix.columns, "], not ", shape);
  shape[shape.size() - 1] = matrix.rows;
  set_output_type(0, ov::element::f32, shape);
}

std::shared_ptr<ov::Node> StoredLinear::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<StoredLinear>(inputs[0], weight_);
}

bool StoredLinear::visit_attributes(ov::AttributeVisitor& visitor) {
  StoredWeight weight = weight_ != nullptr ? *weight_ : StoredWeight();
  StoredMatrix& matrix = weight.matrix;
  auto element = static_cast<int64_t>(matrix.element);
  bool has_offset = weight.offset.bytes.size() != 0;
  visitor.on_attribute("element", element);
  visitor.on_attribute("rows", matrix.rows);
  visitor.on_attribute("columns", matrix.columns);
  visitor.on_attribute("scale_rows", matrix.scale_rows);
  visitor.on_attribute("blocks", matrix.blocks);
  visitor.on_attribute("scale_is_half", matrix.scale_is_half);
  visitor.on_attribute("has_offset", has_offset);
  visitor.on_attribute("data_at", weight.data.offset);
  visitor.on_attribute("data_digest", weight.data.digest);
  visitor.on_attribute("scale_at", weight.scale.offset);
  visitor.on_attribute("scale_digest", weight.scale.digest);
  visitor.on_attribute("offset_at", weight.offset.offset);
  visitor.on_attribute("offset_digest", weight.offset.digest);
  if (weight_ != nullptr) return true;

  OPENVINO_ASSERT(element >= 0 && element <= static_cast<int64_t>(StoredElement::kUInt4),
                  "StoredLinear has a weight of an unknown type: ", element);
  matrix.element = static_cast<StoredElement>(element);
  OPENVINO_ASSERT(is_sound(matrix), "StoredLinear has no weight that its kernel takes");
  const Sizes sizes = sizes_of(matrix, has_offset);
  const auto find = [](PlacedWeight* part, uint64_t size) {
    if (size == 0) return;
    Result<PlacedWeight> found = find_weight(part->offset, size, part->digest);
    if (!found.ok()) throw OpError(found.status());
    *part = *std::move(found);
  };
  find(&weight.data, sizes.data);
  find(&weight.scale, sizes.scale);
  find(&weight.offset, sizes.offset);
  matrix.data = weight.data.bytes.data();
  matrix.scale = weight.scale.bytes.data();
  matrix.offset = has_offset ? weight.offset.bytes.data() : nullptr;
  weight_ = std::make_shared<const StoredWeight>(std::move(weight));
  return true;
}

bool StoredLinear::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const StoredLinearKernel& kernel = *stored_linear_kernel();
  const StoredMatrix& matrix = weight_->matrix;
  ov::Shape shape = inputs[0].get_shape();
  OPENVINO_ASSERT(shape.back() == static_cast<size_t>(matrix.columns), "x has the shape ", shape,
                  ", the weight ", matrix.columns, " columns");
  shape.back() = static_cast<size_t>(matrix.rows);
  outputs[0].set_shape(shape);
  const auto count = static_cast<int64_t>(ov::shape_size(shape)) / matrix.rows;
  if (count == 0) return true;
  const float* const x = inputs[0].data<const float>();
  float* const y = outputs[0].data<float>();
  const int64_t units = (matrix.rows + kRowsOfUnit - 1) / kRowsOfUnit;
  const double work = static_cast<double>(count) * static_cast<double>(matrix.rows) *
                      static_cast<double>(matrix.columns);
  const auto worthwhile = static_cast<int64_t>(std::clamp(work / kWorkOfPart, 1.0, 1e6));
  const int64_t threads = arena_threads();
  const int64_t parts = threads == 1 ? 1 : std::min({units, worthwhile, threads * kPartsPerThread});
  parallel_for(parts, [&](int64_t part) {
    const int64_t begin = units * part / parts * kRowsOfUnit;
    const int64_t end = std::min(matrix.rows, units * (part + 1) / parts * kRowsOfUnit);
    kernel.run(matrix, begin, end, x, count, y, thread_scratch(kernel.scratch_size(matrix)));
  });
  return true;
}

}  // namespace coreml_delegate::engine::portable
