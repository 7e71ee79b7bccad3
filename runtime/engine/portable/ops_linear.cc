// linear, matmul, einsum.

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "openvino/op/einsum.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/pad.hpp"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/integer_matmul.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

// Swaps the last two axes of a value of rank 2 or more.
Output transpose_last(const Output& value) {
  std::vector<int64_t> permutation(static_cast<size_t>(rank(value)));
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[permutation.size() - 1], permutation[permutation.size() - 2]);
  return transpose(value, permutation);
}

// A zero behind the elements along an axis.
Output with_a_zero(const Output& value, int64_t axis) {
  std::vector<int64_t> none(static_cast<size_t>(rank(value)), 0), one = none;
  one.at(static_cast<size_t>(axis < 0 ? axis + rank(value) : axis)) = 1;
  return make<ov::op::v1::Pad>(value, i64(none), i64(one), scalar_like(value, 0.0),
                               ov::op::PadMode::CONSTANT);
}

// NumPy's matmul for floats and, exactly, for integers. A transposition of a vector has no effect.
Output product(const Output& x, const Output& y, bool transpose_x, bool transpose_y) {
  if (x.get_element_type().is_real()) {
    transpose_x = transpose_x && rank(x) > 1;
    transpose_y = transpose_y && rank(y) > 1;
    // The axes that are summed over have one extent; where only one side knows it, the other is
    // held to it.
    const int64_t x_axis = transpose_x ? -2 : -1;
    const int64_t y_axis = rank(y) == 1 || transpose_y ? -1 : -2;
    const int64_t x_extent = extent(x, x_axis), y_extent = extent(y, y_axis);
    Output a = x_extent < 0 && y_extent >= 0 ? with_extent(x, x_axis, y_extent) : x;
    Output b = y_extent < 0 && x_extent >= 0 ? with_extent(y, y_axis, x_extent) : y;
    // OpenVINO leaves what is summed over nothing as the memory was.
    if (x_extent == 0 || y_extent == 0) {
      a = with_a_zero(a, x_axis);
      b = with_a_zero(b, y_axis);
    }
    return make<ov::op::v0::MatMul>(a, b, transpose_x, transpose_y);
  }
  Output a = convert(x, ov::element::i32), b = convert(y, ov::element::i32);
  const bool a_is_vector = rank(a) == 1, b_is_vector = rank(b) == 1;
  if (a_is_vector) a = unsqueeze(a, {0});
  if (b_is_vector) b = unsqueeze(b, {1});
  if (transpose_x && !a_is_vector) a = transpose_last(a);
  if (transpose_y && !b_is_vector) b = transpose_last(b);
  Output y_matrix = make<IntegerMatMul>(a, b);
  std::vector<int64_t> added;
  const int64_t result_rank = rank(y_matrix);
  if (a_is_vector) added.push_back(result_rank - 2);
  if (b_is_vector) added.push_back(result_rank - 1);
  return added.empty() ? y_matrix : squeeze(y_matrix, added);
}

// The type to compute in: from iOS 17 on x and a constant may differ; floats win, and the
// translator converts to the declared type.
ov::element::Type common_type(const Output& a, const Output& b) {
  return a.get_element_type().is_real() ? a.get_element_type() : b.get_element_type();
}

OpResults translate_linear(OpContext& op) {
  Output x = op.input("x"), weight = op.input("weight");
  op.require(rank(weight) == 2, "weight needs rank 2");
  op.require(rank(x) >= 1, "x needs rank 1 or more");
  const ov::element::Type type = common_type(x, weight);
  x = convert(x, type);
  weight = convert(weight, type);
  const bool is_vector = rank(x) == 1;
  if (is_vector) x = unsqueeze(x, {0});  // OpenVINO's fully connected kernels take matrices.
  Output y = product(x, weight, false, true);
  if (op.has("bias") && !is_all_zero(op, "bias")) y = add(y, convert(op.input("bias"), type));
  return is_vector ? squeeze(y, {0}) : y;
}

OpResults translate_matmul(OpContext& op) {
  Output x = op.input("x"), y = op.input("y");
  op.require(rank(x) >= 1 && rank(y) >= 1, "x and y need rank 1 or more");
  const ov::element::Type type = common_type(x, y);
  return product(convert(x, type), convert(y, type), op.boolean("transpose_x", false),
                 op.boolean("transpose_y", false));
}

// The two equations MIL has, up to their letters, as a broadcasting matmul; OpenVINO's Einsum for
// others.
OpResults translate_einsum(OpContext& op) {
  op.require(op.count("values") == 2, "values needs two elements");
  const Output x = op.input("values", 0), y = op.input("values", 1);
  std::string equation = op.string("equation");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  // Letters in the order in which they occur.
  std::string canonical, letters;
  for (char c : equation) {
    if (c == ',' || c == '-' || c == '>') {
      canonical += c;
      continue;
    }
    const size_t known = letters.find(c);
    const size_t number = known == std::string::npos ? letters.size() : known;
    if (known == std::string::npos) letters += c;
    canonical += static_cast<char>('a' + static_cast<char>(std::min<size_t>(number, 25)));
  }
  if (canonical == "abcd,adce->abce" && rank(x) == 4 && rank(y) == 4) {
    const Output result =
        product(transpose(x, {0, 2, 1, 3}), transpose(y, {0, 2, 1, 3}), false, false);
    return transpose(result, {0, 2, 1, 3});
  }
  if (canonical == "abc,cbd->abd" && rank(x) == 3 && rank(y) == 3) {
    return transpose(product(transpose(x, {1, 0, 2}), transpose(y, {1, 0, 2}), false, false),
                     {1, 0, 2});
  }
  if (!x.get_element_type().is_real())
    op.fail_unsupported("the equation \"" + equation + "\" of integers");
  return make<ov::op::v7::Einsum>(ov::OutputVector{x, y}, equation);
}

}  // namespace

OpTable linear_ops() {
  static constexpr OpEntry kOps[] = {
      {"einsum", translate_einsum},
      {"linear", translate_linear},
      {"matmul", translate_matmul},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
