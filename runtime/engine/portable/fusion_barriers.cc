#include "runtime/engine/portable/fusion_barriers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "openvino/op/add.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/divide.hpp"
#include "openvino/op/erf.hpp"
#include "openvino/op/multiply.hpp"
#include "openvino/op/power.hpp"
#include "openvino/op/subtract.hpp"
#include "openvino/op/tanh.hpp"
#include "openvino/op/util/multi_subgraph_base.hpp"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/pass_through.h"

namespace coreml_delegate::engine::portable {
namespace {

constexpr double kRootOfHalf = 0.70710678118654752, kRootOfTwoOverPi = 0.79788456080286536;
// The constants of gelu by tanh, alone and multiplied out.
constexpr double kTanhConstants[] = {kRootOfTwoOverPi, 0.044715, kRootOfTwoOverPi * 0.044715};
constexpr double kSixth = 1.0 / 6;

template <typename Op>
bool is(const ov::Node& node) {
  return dynamic_cast<const Op*>(&node) != nullptr;
}

// The elements of a constant; none of a large one, which are weights.
std::vector<float> constant_of(const Output& value) {
  constexpr size_t kLarge = 4096;
  const ov::Node* node = value.get_node();
  if (is<ov::op::v0::Convert>(*node)) node = node->get_input_node_ptr(0);
  const auto* const constant = dynamic_cast<const ov::op::v0::Constant*>(node);
  if (constant == nullptr || !constant->get_element_type().is_real()) return {};
  const size_t count = ov::shape_size(constant->get_shape());
  if (count > kLarge) return {};
  return constant->cast_vector<float>();
}

std::optional<double> scalar_of(const Output& value) {
  const std::vector<float> elements = constant_of(value);
  if (elements.size() != 1) return std::nullopt;
  return elements[0];
}

// Near enough for OpenVINO's passes, and more than the rounding of a float away.
bool is_nearly(double value, double exact) {
  const double error = std::abs(value / exact - 1);
  return error < 0.02 && error > 1.5 * std::numeric_limits<float>::epsilon();
}

// One of the operands that is a constant, and the other.
struct WithConstant {
  std::vector<float> constant;
  Output value;
  bool is_second = true;  // The constant.
};
std::optional<WithConstant> with_constant(const ov::Node& node) {
  for (const size_t i : {size_t{1}, size_t{0}}) {
    std::vector<float> constant = constant_of(node.input_value(i));
    if (!constant.empty())
      return WithConstant{std::move(constant), node.input_value(1 - i), i == 1};
  }
  return std::nullopt;
}

bool is_sum(const ov::Node& node) {
  return is<ov::op::v1::Add>(node) || is<ov::op::v1::Subtract>(node);
}
bool is_product(const ov::Node& node) {
  return is<ov::op::v1::Multiply>(node) || is<ov::op::v1::Divide>(node);
}

// x * c or x / (1 / c).
std::optional<double> factor_of(const ov::Node& node) {
  if (!is_product(node)) return std::nullopt;
  const bool divides = is<ov::op::v1::Divide>(node);
  for (const size_t i : {size_t{1}, size_t{0}}) {
    if (divides && i == 0) break;
    if (const auto found = scalar_of(node.input_value(i))) return divides ? 1 / *found : *found;
  }
  return std::nullopt;
}

// Whether a scalar that lies before the argument of a tanh is nearly one of gelu's.
bool has_nearly_constants_of_gelu(const Output& argument) {
  constexpr int kDepth = 6;
  std::vector<std::pair<Output, int>> pending = {{argument, 0}};
  while (!pending.empty()) {
    const auto [value, depth] = pending.back();
    pending.pop_back();
    const ov::Node& node = *value.get_node();
    if (const auto factor = factor_of(node)) {
      for (const double exact : kTanhConstants) {
        if (is_nearly(*factor, exact)) return true;
      }
    }
    const bool passes = is_sum(node) || is_product(node) || is<ov::op::v1::Power>(node);
    if (depth == kDepth || !passes) continue;
    for (const Output& input : node.input_values()) pending.emplace_back(input, depth + 1);
  }
  return false;
}

double largest(const std::vector<float>& values) {
  double result = 0;
  for (const float value : values) result = std::max(result, std::abs(static_cast<double>(value)));
  return result;
}
double smallest(const std::vector<float>& values) {
  double result = std::numeric_limits<double>::infinity();
  for (const float value : values) {
    if (value != 0) result = std::min(result, std::abs(static_cast<double>(value)));
  }
  return result;
}

// Whether a sum with a constant follows another whose constant it mostly takes away.
bool cancels(const ov::Node& second) {
  const auto outer = with_constant(second);
  if (!outer || !is_sum(*outer->value.get_node())) return false;
  const ov::Node& first = *outer->value.get_node();
  const auto inner = with_constant(first);
  if (!inner) return false;
  // As summands of x or of -x.
  const double sign_of_value = is<ov::op::v1::Subtract>(second) && !outer->is_second ? -1 : 1;
  const double outer_sign = is<ov::op::v1::Subtract>(second) && outer->is_second ? -1 : 1;
  const double inner_sign =
      sign_of_value * (is<ov::op::v1::Subtract>(first) && inner->is_second ? -1 : 1);
  for (const float a : inner->constant) {
    for (const float b : outer->constant) {
      const double sum = inner_sign * static_cast<double>(a) + outer_sign * static_cast<double>(b);
      if (std::abs(sum) < std::abs(static_cast<double>(a)) / 2) return true;
      if (inner->constant.size() * outer->constant.size() > (1 << 16)) return false;
    }
  }
  return false;
}

// Whether a product with a constant follows another that may leave what float32 can hold.
bool may_overflow_between(const ov::Node& second) {
  constexpr double kHigh = 0x1p40, kLow = 0x1p-40;
  const auto outer = with_constant(second);
  if (!outer || !is_product(*outer->value.get_node())) return false;
  const auto inner = with_constant(*outer->value.get_node());
  if (!inner) return false;
  return largest(inner->constant) > kHigh || smallest(inner->constant) < kLow;
}

void put_between(const std::shared_ptr<ov::Node>& reader, const Output& value) {
  const Output barrier = make<PassThrough>(value);
  barrier.get_node()->set_friendly_name(value.get_node()->get_friendly_name() + "/barrier");
  for (ov::Input<ov::Node> input : reader->inputs()) {
    if (input.get_source_output() == value) input.replace_source_output(barrier);
  }
}

void put_behind(const Output& value) {
  const auto readers = value.get_target_inputs();
  const Output barrier = make<PassThrough>(value);
  barrier.get_node()->set_friendly_name(value.get_node()->get_friendly_name() + "/barrier");
  for (ov::Input<ov::Node> reader : readers) reader.replace_source_output(barrier);
}

}  // namespace

void add_fusion_barriers(const std::shared_ptr<ov::Model>& model) {
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    if (const auto* outer = dynamic_cast<ov::op::util::MultiSubGraphOp*>(node.get())) {
      for (size_t i = 0; i < outer->get_internal_subgraphs_size(); ++i)
        add_fusion_barriers(outer->get_function(static_cast<int>(i)));
      continue;
    }
    if (node->get_output_size() != 1 || node->get_output_element_type(0) != ov::element::f32)
      continue;
    if (is<ov::op::v0::Erf>(*node)) {
      const auto factor = factor_of(*node->get_input_node_ptr(0));
      if (factor && is_nearly(*factor, kRootOfHalf)) put_behind(node->output(0));
    } else if (is<ov::op::v0::Tanh>(*node)) {
      if (has_nearly_constants_of_gelu(node->input_value(0))) put_behind(node->output(0));
    } else if (is_product(*node)) {
      const auto factor = factor_of(*node);
      if ((factor && is_nearly(*factor, kSixth)) || may_overflow_between(*node))
        put_between(node, with_constant(*node)->value);
    } else if (is_sum(*node) && cancels(*node)) {
      put_between(node, with_constant(*node)->value);
    }
  }
}

}  // namespace coreml_delegate::engine::portable
