#include "runtime/engine/portable/weight_roles.h"

#include <cstddef>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/sha256.h"
#include "openvino/op/constant.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/convolution.hpp"
#include "openvino/op/group_conv.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/multiply.hpp"
#include "openvino/op/reshape.hpp"
#include "openvino/op/subtract.hpp"
#include "openvino/op/transpose.hpp"
#include "openvino/op/util/multi_subgraph_base.hpp"
#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {
namespace {

using Constant = ov::op::v0::Constant;
using MatMul = ov::op::v0::MatMul;

// A constant that an operation multiplies by.
struct Use {
  ov::Input<ov::Node> input;
  std::shared_ptr<Constant> constant;  // The bytes that it comes from.
  std::string role;                    // How they are read.
  std::string packed;                  // The extents in the order of what OpenVINO makes of it.
};

template <typename... Types>
bool is_any(const ov::Node* node) {
  return ((dynamic_cast<const Types*>(node) != nullptr) || ...);
}

bool is_convolution(const ov::Node* node) {
  return is_any<ov::op::v1::Convolution, ov::op::v1::ConvolutionBackpropData,
                ov::op::v1::GroupConvolution, ov::op::v1::GroupConvolutionBackpropData>(node);
}

// Output channels or columns, input channels or rows, then what there is of a kernel.
std::string packed_extents(const ov::Node* user, size_t index, ov::Shape shape) {
  const size_t rank = shape.size();
  if (const auto* product = dynamic_cast<const MatMul*>(user)) {
    const bool is_turned = index == 0 ? product->get_transpose_a() : !product->get_transpose_b();
    if (rank >= 2 && is_turned) std::swap(shape[rank - 1], shape[rank - 2]);
  } else if (is_any<ov::op::v1::ConvolutionBackpropData>(user)) {
    std::swap(shape[0], shape[1]);
  } else if (is_any<ov::op::v1::GroupConvolutionBackpropData>(user)) {
    std::swap(shape[1], shape[2]);
  }
  return shape.to_string();
}

// What is done to the bytes before the operation reads them is a part of their role.
std::optional<Use> use_of(const ov::Input<ov::Node>& input) {
  const ov::Node* const user = input.get_node();
  std::string role =
      std::string(user->get_type_info().name) + " " + std::to_string(input.get_index());
  if (const auto* product = dynamic_cast<const MatMul*>(user)) {
    const bool is_transposed =
        input.get_index() == 0 ? product->get_transpose_a() : product->get_transpose_b();
    if (is_transposed) role += " transposed";
  }
  std::shared_ptr<ov::Node> node = input.get_source_output().get_node_shared_ptr();
  while (is_any<ov::op::v0::Convert, ov::op::v1::Reshape, ov::op::v1::Transpose,
                ov::op::v1::Subtract, ov::op::v1::Multiply>(node.get())) {
    role += std::string(" ") + node->get_type_info().name +
            node->get_output_partial_shape(0).to_string();
    node = node->get_input_node_shared_ptr(0);
  }
  const auto constant = std::dynamic_pointer_cast<Constant>(node);
  if (constant == nullptr || constant->get_element_type() == ov::element::string ||
      input.get_partial_shape().is_dynamic()) {
    return std::nullopt;
  }
  role += " " + constant->get_element_type().to_string() + constant->get_shape().to_string();
  return Use{input, constant, std::move(role),
             packed_extents(user, input.get_index(), input.get_shape())};
}

void collect(const std::shared_ptr<ov::Model>& model, std::vector<Use>& uses) {
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    if (auto* outer = dynamic_cast<ov::op::util::MultiSubGraphOp*>(node.get())) {
      for (size_t i = 0; i < outer->get_internal_subgraphs_size(); ++i) {
        collect(outer->get_function(static_cast<int>(i)), uses);
      }
    }
    const bool is_product = dynamic_cast<const MatMul*>(node.get()) != nullptr;
    if (!is_product && !is_convolution(node.get())) continue;
    for (size_t i = is_product ? 0 : 1; i < 2; ++i) {
      if (std::optional<Use> use = use_of(node->input(i))) uses.push_back(*std::move(use));
    }
  }
}

std::string digest(const Constant& constant) {
  return to_hex(
      sha256({static_cast<const std::byte*>(constant.get_data_ptr()), constant.get_byte_size()}));
}

Output known(const Output& value) {
  const std::shared_ptr<Constant> folded = fold(value);
  return folded == nullptr ? value : folded->output(0);
}

// The matrix transposed, which the product takes as it is now. Null for what is no matrix.
Output transposed(const Output& value) {
  const size_t rank = value.get_shape().size();
  if (rank < 2) return {};
  std::vector<int64_t> order(rank);
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[rank - 1], order[rank - 2]);
  return known(
      make<ov::op::v1::Transpose>(value, make<Constant>(ov::element::i64, ov::Shape{rank}, order)));
}

// The roles of bytes, by their digest and what is packed.
using Roles = std::map<std::pair<std::string, std::string>, std::string>;

// Whether the bytes may be read so: nobody reads them otherwise for the same.
bool takes_role(Roles& roles, const Use& use) {
  return roles.emplace(std::pair(digest(*use.constant), use.packed), use.role).first->second ==
         use.role;
}

// A product reads the transposed matrix in the other way.
bool transpose_instead(const Use& use, Roles& roles) {
  auto* const product = dynamic_cast<MatMul*>(use.input.get_node());
  if (product == nullptr) return false;
  const Output before = use.input.get_source_output(), other = transposed(before);
  if (other.get_node() == nullptr) return false;
  const auto toggle = [&] {
    if (use.input.get_index() == 0) {
      product->set_transpose_a(!product->get_transpose_a());
    } else {
      product->set_transpose_b(!product->get_transpose_b());
    }
  };
  ov::Input<ov::Node> input = use.input;
  input.replace_source_output(other);
  toggle();
  const std::optional<Use> now = use_of(input);
  if (now.has_value() && takes_role(roles, *now)) return true;
  input.replace_source_output(before);
  toggle();
  return false;
}

// Twice the weight, and half of the result: exact, as both are powers of two.
void double_instead(const Use& use, Roles& roles) {
  ov::Node* const user = use.input.get_node();
  const ov::Output<ov::Node> result = user->output(0);
  const std::set<ov::Input<ov::Node>> targets = result.get_target_inputs();
  Output half = result;
  ov::Input<ov::Node> input = use.input;
  // Each doubling is other bytes; a role of its own is found after as many as there are roles.
  for (size_t tries = 0; tries <= roles.size(); ++tries) {
    const Output value = input.get_source_output();
    const ov::element::Type type = value.get_element_type();
    input.replace_source_output(known(make<ov::op::v1::Multiply>(
        value, make<Constant>(type, ov::Shape{}, std::vector<float>{2}))));
    half = make<ov::op::v1::Multiply>(
        half, make<Constant>(result.get_element_type(), ov::Shape{}, std::vector<float>{0.5f}));
    const std::optional<Use> now = use_of(input);
    if (!now.has_value() || takes_role(roles, *now)) break;
  }
  for (ov::Input<ov::Node> target : targets) target.replace_source_output(half);
  half.get_node()->set_friendly_name(user->get_friendly_name());
}

}  // namespace

void separate_weight_roles(const std::shared_ptr<ov::Model>& model) {
  std::vector<Use> uses;
  collect(model, uses);
  // Bytes are compared where some of the same extents are read otherwise: seldom.
  std::map<std::string, std::set<std::string>> roles_of_extents;
  for (const Use& use : uses) roles_of_extents[use.packed].insert(use.role);
  Roles roles;
  for (const Use& use : uses) {
    if (roles_of_extents.at(use.packed).size() == 1) continue;
    if (takes_role(roles, use) || transpose_instead(use, roles)) continue;
    double_instead(use, roles);
  }
}

}  // namespace coreml_delegate::engine::portable
