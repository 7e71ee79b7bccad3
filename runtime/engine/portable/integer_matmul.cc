#include "runtime/engine/portable/integer_matmul.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/strides.h"

namespace coreml_delegate::engine::portable {
namespace {

// One product; unsigned arithmetic because int32 overflow wraps in MIL and is undefined in C++.
void multiply(const uint32_t* a, const uint32_t* b, uint32_t* c, size_t m, size_t k, size_t n) {
  std::fill(c, c + m * n, 0u);
  for (size_t row = 0; row < m; ++row) {
    for (size_t inner = 0; inner < k; ++inner) {
      const uint32_t factor = a[row * k + inner];
      const uint32_t* source = b + inner * n;
      uint32_t* target = c + row * n;
      for (size_t column = 0; column < n; ++column) target[column] += factor * source[column];
    }
  }
}

// The extents in front of the matrices.
ov::Shape batch_of(const ov::Shape& shape) { return ov::Shape(shape.begin(), shape.end() - 2); }

// The batch index of an operand for a batch index of the result.
size_t operand_batch(size_t index, const ov::Shape& batch, const std::vector<size_t>& strides) {
  size_t offset = 0;
  for (size_t axis = batch.size(); axis-- > 0;) {
    offset += index % batch[axis] * strides[axis];
    index /= batch[axis];
  }
  return offset;
}

}  // namespace

IntegerMatMul::IntegerMatMul(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b)
    : Op({a, b}) {
  constructor_validate_and_infer_types();
}

void IntegerMatMul::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this,
                        get_input_element_type(0) == ov::element::i32 &&
                            get_input_element_type(1) == ov::element::i32,
                        "IntegerMatMul takes i32");
  const ov::PartialShape &a = get_input_partial_shape(0), &b = get_input_partial_shape(1);
  NODE_VALIDATION_CHECK(
      this, a.rank().is_static() && b.rank().is_static() && a.size() >= 2 && b.size() >= 2,
      "IntegerMatMul takes values of known rank 2 or more");
  NODE_VALIDATION_CHECK(this, a[a.size() - 1].compatible(b[b.size() - 2]),
                        "the inner extents differ: ", a, " and ", b);
  ov::PartialShape batch_a(std::vector<ov::Dimension>(a.begin(), a.end() - 2));
  const ov::PartialShape batch_b(std::vector<ov::Dimension>(b.begin(), b.end() - 2));
  NODE_VALIDATION_CHECK(
      this,
      ov::PartialShape::broadcast_merge_into(batch_a, batch_b, ov::op::AutoBroadcastType::NUMPY),
      "the batch extents do not broadcast: ", a, " and ", b);
  batch_a.push_back(a[a.size() - 2]);
  batch_a.push_back(b[b.size() - 1]);
  set_output_type(0, ov::element::i32, batch_a);
}

std::shared_ptr<ov::Node> IntegerMatMul::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  return std::make_shared<IntegerMatMul>(inputs.at(0), inputs.at(1));
}

bool IntegerMatMul::visit_attributes(ov::AttributeVisitor&) { return true; }

bool IntegerMatMul::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const ov::Shape a = inputs[0].get_shape(), b = inputs[1].get_shape();
  if (a.size() < 2 || b.size() < 2 || a.back() != b[b.size() - 2]) return false;
  ov::PartialShape merged(batch_of(a));
  if (!ov::PartialShape::broadcast_merge_into(merged, batch_of(b),
                                              ov::op::AutoBroadcastType::NUMPY)) {
    return false;
  }
  const ov::Shape batch = merged.to_shape();
  ov::Shape result = batch;
  const size_t m = a[a.size() - 2], k = a.back(), n = b.back();
  result.push_back(m);
  result.push_back(n);
  outputs[0].set_shape(result);
  const std::vector<size_t> strides_a = broadcast_strides(batch_of(a), batch);
  const std::vector<size_t> strides_b = broadcast_strides(batch_of(b), batch);
  const auto* from_a =
      static_cast<const uint32_t*>(static_cast<const void*>(inputs[0].data<int32_t>()));
  const auto* from_b =
      static_cast<const uint32_t*>(static_cast<const void*>(inputs[1].data<int32_t>()));
  auto* to = static_cast<uint32_t*>(static_cast<void*>(outputs[0].data<int32_t>()));
  for (size_t i = 0; i < ov::shape_size(batch); ++i) {
    multiply(from_a + operand_batch(i, batch, strides_a) * m * k,
             from_b + operand_batch(i, batch, strides_b) * k * n, to + i * m * n, m, k, n);
  }
  return true;
}

}  // namespace coreml_delegate::engine::portable
