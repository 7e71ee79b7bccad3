// relu ... thresholded_relu: activation functions, in the forms that OpenVINO runs inside the node
// before them.

#include "openvino/op/clamp.hpp"
#include "openvino/op/elu.hpp"
#include "openvino/op/gelu.hpp"
#include "openvino/op/less.hpp"
#include "openvino/op/minimum.hpp"
#include "openvino/op/prelu.hpp"
#include "openvino/op/relu.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/sigmoid.hpp"
#include "openvino/op/softmax.hpp"
#include "openvino/op/softsign.hpp"
#include "openvino/op/swish.hpp"
#include "openvino/op/tanh.hpp"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/softplus.h"

namespace coreml_delegate::engine::portable {
namespace {

template <typename Op>
OpResults unary(OpContext& op) {
  return make<Op>(op.input("x"));
}

// x * factor + summand; a factor of 1 and a summand of 0 need no node.
Output affine(const Output& x, float factor, float summand) {
  Output y = factor == 1.0f ? x : multiply(x, scalar_like(x, factor));
  return summand == 0.0f ? y : add(y, scalar_like(x, summand));
}

// A per-channel parameter of x, which has the channels in axis 1, as a shape that broadcasts.
Output per_channel(OpContext& op, std::string_view name, const Output& x) {
  const Output value = op.input(name);
  op.require(rank(x) >= 2 && rank(value) <= 1,
             "per-channel parameters need an x of rank 2 or more and rank 1 themselves");
  if (rank(value) == 0) return value;
  std::vector<int64_t> shape(static_cast<size_t>(rank(x)), 1);
  shape[1] = -1;
  return reshape(value, shape);
}

OpResults translate_clamped_relu(OpContext& op) {
  const Output x = op.input("x");
  const Output slope = make<ov::op::v0::PRelu>(x, f32_vector({op.real("alpha")}));
  return make<ov::op::v1::Minimum>(slope, f32(op.real("beta")));
}

OpResults translate_elu(OpContext& op) {
  return make<ov::op::v0::Elu>(op.input("x"), static_cast<double>(op.real("alpha", 1.0f)));
}

OpResults translate_gelu(OpContext& op) {
  const Output x = op.input("x");
  const std::string mode = op.string("mode", "EXACT");
  if (mode == "EXACT") return make<ov::op::v7::Gelu>(x, ov::op::GeluApproximationMode::ERF);
  if (mode == "TANH_APPROXIMATION")
    return make<ov::op::v7::Gelu>(x, ov::op::GeluApproximationMode::TANH);
  if (mode == "SIGMOID_APPROXIMATION") return make<ov::op::v4::Swish>(x, f32(1.702f));
  op.fail("the mode \"" + mode +
          "\" is not one of EXACT, TANH_APPROXIMATION, SIGMOID_APPROXIMATION");
}

OpResults translate_leaky_relu(OpContext& op) {
  return make<ov::op::v0::PRelu>(op.input("x"), f32_vector({op.real("alpha", 0.01f)}));
}

OpResults translate_linear_activation(OpContext& op) {
  return affine(op.input("x"), op.real("alpha"), op.real("beta", 0.0f));
}

OpResults translate_prelu(OpContext& op) {
  const Output x = op.input("x");
  return make<ov::op::v0::PRelu>(x, per_channel(op, "alpha", x));
}

OpResults translate_relu6(OpContext& op) {
  return make<ov::op::v0::Clamp>(op.input("x"), 0.0, 6.0);
}

OpResults translate_scaled_tanh(OpContext& op) {
  const Output scaled = affine(op.input("x"), op.real("beta", 1.0f), 0.0f);
  return affine(make<ov::op::v0::Tanh>(scaled), op.real("alpha", 1.0f), 0.0f);
}

// OpenVINO's own HardSigmoid is slow; its HSigmoid has fixed constants. The mul handler recognises
// this form.
OpResults translate_sigmoid_hard(OpContext& op) {
  const Output x = op.input("x");
  const Output scaled = multiply(x, f32(op.real("alpha", 0.2f)));
  const Output shifted = add(scaled, f32(op.real("beta", 0.5f)));
  return make<ov::op::v0::Clamp>(shifted, 0.0, 1.0);
}

OpResults translate_softmax(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x), -1);
  return make<ov::op::v8::Softmax>(x, axis);
}

OpResults translate_softplus_parametric(OpContext& op) {
  const Output x = op.input("x");
  const Output scaled = multiply(x, per_channel(op, "beta", x));
  return multiply(make<Softplus>(scaled), per_channel(op, "alpha", x));
}

// A Select and not a product, which would make NaN of an infinity below the threshold. The mul
// handler recognises this form.
OpResults translate_thresholded_relu(OpContext& op) {
  const Output x = op.input("x");
  const Output below = make<ov::op::v1::Less>(x, f32(op.real("alpha", 1.0f)));
  return make<ov::op::v1::Select>(below, f32(0), x);
}

}  // namespace

OpTable activation_ops() {
  static constexpr OpEntry kOps[] = {
      {"clamped_relu", translate_clamped_relu},
      {"elu", translate_elu},
      {"gelu", translate_gelu},
      {"leaky_relu", translate_leaky_relu},
      {"linear_activation", translate_linear_activation},
      {"prelu", translate_prelu},
      {"relu", unary<ov::op::v0::Relu>, Rounding::kNone},
      {"relu6", translate_relu6, Rounding::kNone},
      {"scaled_tanh", translate_scaled_tanh},
      {"sigmoid", unary<ov::op::v0::Sigmoid>},
      {"sigmoid_hard", translate_sigmoid_hard},
      {"silu", unary<ov::op::v4::Swish>},
      {"softmax", translate_softmax},
      {"softplus", unary<Softplus>},
      {"softplus_parametric", translate_softplus_parametric},
      {"softsign", unary<ov::op::v9::SoftSign>},
      {"thresholded_relu", translate_thresholded_relu, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
