#include "runtime/engine/portable/exceptional_values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "openvino/op/abs.hpp"
#include "openvino/op/add.hpp"
#include "openvino/op/clamp.hpp"
#include "openvino/op/elu.hpp"
#include "openvino/op/equal.hpp"
#include "openvino/op/erf.hpp"
#include "openvino/op/exp.hpp"
#include "openvino/op/gelu.hpp"
#include "openvino/op/is_nan.hpp"
#include "openvino/op/less.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/maximum.hpp"
#include "openvino/op/minimum.hpp"
#include "openvino/op/multiply.hpp"
#include "openvino/op/reduce_sum.hpp"
#include "openvino/op/relu.hpp"
#include "openvino/op/reshape.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/softmax.hpp"
#include "openvino/op/subtract.hpp"
#include "openvino/op/util/multi_subgraph_base.hpp"
#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {
namespace {

template <typename Op>
bool is(const ov::Node& node) {
  return dynamic_cast<const Op*>(&node) != nullptr;
}

// Whether OpenVINO computes what reads this value inside a convolution or matrix product: one lies
// before it, with nothing but additions and products of other values between.
bool comes_from_products(const Output& value) {
  static constexpr std::string_view kProducts[] = {"Convolution", "GroupConvolution",
                                                   "ConvolutionBackpropData",
                                                   "GroupConvolutionBackpropData", "MatMul"};
  constexpr int kDepth = 4;  // Bias, scale, shift and another value.
  std::vector<std::pair<Output, int>> pending = {{value, 0}};
  while (!pending.empty()) {
    const auto [at, depth] = pending.back();
    pending.pop_back();
    const ov::Node& node = *at.get_node();
    const std::string_view type = node.get_type_info().name;
    if (std::find(std::begin(kProducts), std::end(kProducts), type) != std::end(kProducts))
      return true;
    const bool passes = is<ov::op::v1::Add>(node) || is<ov::op::v1::Multiply>(node) ||
                        is<ov::op::v1::Subtract>(node);
    if (depth == kDepth || !passes || at.get_target_inputs().size() != 1) continue;
    pending.emplace_back(node.input_value(0), depth + 1);
    pending.emplace_back(node.input_value(1), depth + 1);
  }
  return false;
}

Output select(const Output& condition, const Output& yes, const Output& no) {
  return make<ov::op::v1::Select>(condition, yes, no);
}

// Comparisons with NaN are false in this order of the operands.
Output limited(const Output& x, double low, double high) {
  Output y = x;
  if (std::isfinite(low)) {
    const Output limit = f32(static_cast<float>(low));
    y = select(make<ov::op::v1::Less>(x, limit), limit, y);
  }
  if (std::isfinite(high)) {
    const Output limit = f32(static_cast<float>(high));
    y = select(make<ov::op::v1::Less>(limit, x), limit, y);
  }
  return y;
}

// x (c[0] + z (c[1] + z (c[2] ...))).
Output series(const Output& x, const Output& z, const std::vector<double>& coefficients) {
  Output sum = f32(static_cast<float>(coefficients.back()));
  for (size_t i = coefficients.size() - 1; i-- > 0;)
    sum = add(multiply(sum, z), f32(static_cast<float>(coefficients[i])));
  return multiply(x, sum);
}

// exp(x) - 1 loses what x has more digits than 1; its series, whose first term left out is 6e-10 of
// the sum, does not.
Output elu_near_zero(const Output& x, double alpha, const Output& elsewhere) {
  const Output near = multiply(
      series(x, x, {1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320}),
      f32(static_cast<float>(alpha)));
  const Output is_near = make<ov::op::v1::Less>(f32(-0.35f), x);
  const Output is_negative = make<ov::op::v1::Less>(x, f32(0.0f));
  return select(is_negative, select(is_near, near, elsewhere), elsewhere);
}

// Within 1/2 of zero the first term left out is 1e-9 of the sum.
Output erf_near_zero(const Output& x, const Output& elsewhere) {
  constexpr double kFactor = 1.1283791670955126;  // 2 / sqrt(pi)
  std::vector<double> coefficients;
  double factorial = 1, sign = 1;
  for (int n = 0; n < 7; ++n) {
    if (n > 0) factorial *= n;
    coefficients.push_back(sign * kFactor / (factorial * (2 * n + 1)));
    sign = -sign;
  }
  const Output is_near = make<ov::op::v1::Less>(make<ov::op::v0::Abs>(x), f32(0.5f));
  return select(is_near, series(x, multiply(x, x), coefficients), elsewhere);
}

// Whether all that reads the value adds to it, or scales it, as gelu does: OpenVINO finds that and
// has a kernel for it, and what is lost near zero is lost in the sum.
bool is_part_of_gelu(const Output& erf) {
  const auto readers = erf.get_target_inputs();
  return std::all_of(readers.begin(), readers.end(), [](const ov::Input<ov::Node>& reader) {
    return is<ov::op::v1::Add>(*reader.get_node()) || is<ov::op::v1::Multiply>(*reader.get_node());
  });
}

bool may_be_nan(const Output& value) {
  const auto* const constant = dynamic_cast<const ov::op::v0::Constant*>(value.get_node());
  if (constant == nullptr) return true;
  const std::vector<float> elements = constant->cast_vector<float>();
  return std::any_of(elements.begin(), elements.end(), [](float e) { return std::isnan(e); });
}

// `result` where none of the inputs is NaN, else that.
Output unless_nan(const ov::Node& node, const Output& result) {
  Output y = result;
  for (const Output& input : node.input_values()) {
    if (may_be_nan(input)) y = select(make<ov::op::v10::IsNaN>(input), input, y);
  }
  return y;
}

// Whether all that becomes of the rows of attention weights is their product with other values, in
// which one NaN of a row is in every result of the row anyway. One more pass over the weights would
// cost most there.
bool rows_are_multiplied(const ov::op::v8::Softmax& softmax) {
  const ov::Rank rank = softmax.get_output_partial_shape(0).rank();
  if (rank.is_dynamic()) return false;
  if (softmax.get_axis() != -1 && softmax.get_axis() != rank.get_length() - 1) return false;
  Output rows = std::const_pointer_cast<ov::Node>(softmax.shared_from_this())->output(0);
  while (rows.get_target_inputs().size() == 1) {
    const ov::Input<ov::Node> reader = *rows.get_target_inputs().begin();
    ov::Node* const node = reader.get_node();
    if (const auto* product = dynamic_cast<const ov::op::v0::MatMul*>(node))
      return reader.get_index() == 0 && !product->get_transpose_a();
    // Batch and heads are merged; the guard of rows without keys replaces whole rows.
    if (!is<ov::op::v1::Reshape>(*node) && !is<ov::op::v1::Select>(*node)) return false;
    rows = node->output(0);
  }
  return false;
}

// Beside a NaN or an infinity all results of a softmax are NaN; OpenVINO's kernel gives zeros there.
// The sum of the results is NaN for these and 1 for others.
Output softmax_of_numbers(const ov::op::v8::Softmax& softmax, const Output& result) {
  const Output total =
      make<ov::op::v1::ReduceSum>(result, i64({softmax.get_axis()}), /*keep_dims=*/true);
  return add(result, multiply(total, f32(0.0f)));
}

// What takes the place of the node's result; an empty value where it stays. The node itself may be
// read by it.
Output replacement(const std::shared_ptr<ov::Node>& node) {
  const Output result = node->output(0);
  if (result.get_element_type() != ov::element::f32) return {};
  if (is<ov::op::v1::Maximum>(*node) || is<ov::op::v1::Minimum>(*node) ||
      is<ov::op::v0::Exp>(*node))
    return unless_nan(*node, result);
  const Output x = node->get_input_size() == 0 ? Output() : node->input_value(0);
  if (is<ov::op::v0::Relu>(*node) && !comes_from_products(x))
    return limited(x, 0.0, std::numeric_limits<double>::infinity());
  if (const auto* clamp = dynamic_cast<const ov::op::v0::Clamp*>(node.get());
      clamp != nullptr && !comes_from_products(x))
    return limited(x, clamp->get_min(), clamp->get_max());
  if (const auto* elu = dynamic_cast<const ov::op::v0::Elu*>(node.get());
      elu != nullptr && !comes_from_products(x))
    return elu_near_zero(x, elu->get_alpha(), result);
  if (is<ov::op::v0::Erf>(*node) && !is_part_of_gelu(result)) return erf_near_zero(x, result);
  if (const auto* softmax = dynamic_cast<const ov::op::v8::Softmax*>(node.get());
      softmax != nullptr && !rows_are_multiplied(*softmax))
    return softmax_of_numbers(*softmax, result);
  if (is<ov::op::v7::Gelu>(*node) && !comes_from_products(x)) {
    const Output infinity = f32(std::numeric_limits<float>::infinity());
    return select(make<ov::op::v1::Equal>(x, infinity), infinity, result);
  }
  return {};
}

}  // namespace

void keep_exceptional_values(const std::shared_ptr<ov::Model>& model) {
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    if (const auto* outer = dynamic_cast<ov::op::util::MultiSubGraphOp*>(node.get())) {
      for (size_t i = 0; i < outer->get_internal_subgraphs_size(); ++i)
        keep_exceptional_values(outer->get_function(static_cast<int>(i)));
      continue;
    }
    if (node->get_output_size() != 1) continue;
    const Output result = node->output(0);
    const auto readers = result.get_target_inputs();
    const Output made = replacement(node);
    if (made.get_node() == nullptr || made == result) continue;
    made.get_node()->set_friendly_name(node->get_friendly_name());
    node->set_friendly_name(node->get_friendly_name() + "/number");
    made.get_tensor().add_names(result.get_names());
    for (ov::Input<ov::Node> reader : readers) reader.replace_source_output(made);
  }
}

}  // namespace coreml_delegate::engine::portable
