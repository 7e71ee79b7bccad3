#include "runtime/engine/portable/cumulative_sum.h"

#include <algorithm>
#include <vector>

#include "runtime/engine/portable/parallel.h"

namespace coreml_delegate::engine::portable {
namespace {

// Columns that one pass sums up side by side: their sums stay in the first-level cache.
constexpr size_t kColumns = 512;

// `count` rows of `stride` elements, of which `columns` are summed up row by row.
void sum_rows(const float* x, float* y, size_t count, size_t stride, size_t columns, bool exclusive,
              bool reverse) {
  double sums[kColumns] = {};
  for (size_t i = 0; i < count; ++i) {
    const size_t row = (reverse ? count - 1 - i : i) * stride;
    if (exclusive) {
      for (size_t k = 0; k < columns; ++k) {
        const float element = x[row + k];
        y[row + k] = static_cast<float>(sums[k]);
        sums[k] += static_cast<double>(element);
      }
    } else {
      for (size_t k = 0; k < columns; ++k) {
        sums[k] += static_cast<double>(x[row + k]);
        y[row + k] = static_cast<float>(sums[k]);
      }
    }
  }
}

}  // namespace

CumulativeSum::CumulativeSum(const ov::Output<ov::Node>& value, int64_t axis, bool exclusive,
                             bool reverse)
    : Op({value}), axis_(axis), exclusive_(exclusive), reverse_(reverse) {
  constructor_validate_and_infer_types();
}

void CumulativeSum::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, get_input_element_type(0).compatible(ov::element::f32),
                        "CumulativeSum takes f32");
  const ov::Rank rank = get_input_partial_shape(0).rank();
  NODE_VALIDATION_CHECK(this, rank.is_static() && axis_ >= 0 && axis_ < rank.get_length(),
                        "CumulativeSum needs an axis of its input");
  set_output_type(0, ov::element::f32, get_input_partial_shape(0));
}

std::shared_ptr<ov::Node> CumulativeSum::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<CumulativeSum>(inputs[0], axis_, exclusive_, reverse_);
}

bool CumulativeSum::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("axis", axis_);
  visitor.on_attribute("exclusive", exclusive_);
  visitor.on_attribute("reverse", reverse_);
  return true;
}

bool CumulativeSum::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  if (inputs[0].get_element_type() != ov::element::f32) return false;
  const ov::Shape shape = inputs[0].get_shape();
  outputs[0].set_shape(shape);
  const auto axis = static_cast<size_t>(axis_);
  const size_t count = shape[axis];
  size_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= shape[i];
  for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  if (outer == 0 || inner == 0 || count == 0) return true;
  const float* x = inputs[0].data<const float>();
  float* y = outputs[0].data<float>();
  const size_t blocks = (inner + kColumns - 1) / kColumns;
  parallel_for(static_cast<int64_t>(outer * blocks), [&](int64_t part) {
    const size_t block = static_cast<size_t>(part) % blocks;
    const size_t begin = static_cast<size_t>(part) / blocks * count * inner + block * kColumns;
    sum_rows(x + begin, y + begin, count, inner, std::min(kColumns, inner - block * kColumns),
             exclusive_, reverse_);
  });
  return true;
}

}  // namespace coreml_delegate::engine::portable
