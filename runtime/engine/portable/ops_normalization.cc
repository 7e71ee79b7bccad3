// batch_norm, instance_norm, l2_norm, layer_norm, local_response_norm.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "openvino/op/mvn.hpp"
#include "openvino/op/pad.hpp"
#include "openvino/op/power.hpp"
#include "openvino/op/sqrt.hpp"
#include "runtime/engine/portable/exact_reduce.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

std::vector<int64_t> axis_range(int64_t begin, int64_t end) {
  std::vector<int64_t> axes(static_cast<size_t>(std::max<int64_t>(end - begin, 0)));
  std::iota(axes.begin(), axes.end(), begin);
  return axes;
}

// (x - mean) / sqrt(variance + epsilon) over `axes`, which are sorted.
Output normalize(const Output& x, const std::vector<int64_t>& axes, float epsilon) {
  const int64_t x_rank = rank(x);
  const bool trailing =
      !axes.empty() && axes == axis_range(x_rank - static_cast<int64_t>(axes.size()), x_rank);
  // What OpenVINO has a kernel for; the same formula in single steps otherwise.
  if (trailing && epsilon > 0.0f && adds_up_few(x, axes)) {
    return make<ov::op::v6::MVN>(x, i64(axes), /*normalize_variance=*/true, epsilon,
                                 ov::op::MVNEpsMode::INSIDE_SQRT);
  }
  const Output centered = subtract(x, reduce_mean(x, axes, /*keep_dims=*/true));
  const Output variance = reduce_mean(multiply(centered, centered), axes, /*keep_dims=*/true);
  return divide(centered, make<ov::op::v0::Sqrt>(add(variance, scalar_like(variance, epsilon))));
}

// Folded to one multiply and one add per channel, which OpenVINO merges into a convolution before
// it.
OpResults translate_batch_norm(OpContext& op) {
  const Output x = op.input("x");
  const std::vector<float> mean = op.reals("mean"), variance = op.reals("variance");
  const size_t channels = mean.size();
  op.require(variance.size() == channels, "mean and variance need the same length");
  const std::vector<float> gamma = op.reals("gamma", std::vector<float>(channels, 1.0f));
  const std::vector<float> beta = op.reals("beta", std::vector<float>(channels, 0.0f));
  op.require(gamma.size() == channels && beta.size() == channels,
             "gamma and beta need the length of mean");
  const double epsilon = op.real("epsilon", 1e-5f);
  op.require(rank(x) >= 2, "x needs a channel axis");
  std::vector<float> scale(channels), shift(channels);
  for (size_t i = 0; i < channels; ++i) {
    const double factor = gamma[i] / std::sqrt(static_cast<double>(variance[i]) + epsilon);
    scale[i] = static_cast<float>(factor);
    shift[i] = static_cast<float>(beta[i] - mean[i] * factor);
  }
  std::vector<int64_t> shape(static_cast<size_t>(rank(x)), 1);
  shape[1] = static_cast<int64_t>(channels);
  return add(multiply(x, f32_constant(scale, shape)), f32_constant(shift, shape));
}

OpResults translate_instance_norm(OpContext& op) {
  const Output x = op.input("x");
  const int64_t x_rank = rank(x);
  op.require(x_rank >= 3, "x needs rank 3 or more");
  Output y = normalize(x, axis_range(2, x_rank), op.real("epsilon", 1e-5f));
  if (op.has("gamma"))
    y = multiply(y, per_channel(convert(op.input("gamma"), x.get_element_type()), x_rank));
  if (op.has("beta"))
    y = add(y, per_channel(convert(op.input("beta"), x.get_element_type()), x_rank));
  return y;
}

OpResults translate_layer_norm(OpContext& op) {
  const Output x = op.input("x");
  const int64_t x_rank = rank(x);
  std::vector<int64_t> axes = op.axes("axes", x_rank, axis_range(0, x_rank));
  std::sort(axes.begin(), axes.end());
  if (axes.empty()) axes = axis_range(0, x_rank);
  Output y = normalize(x, axes, op.real("epsilon", 1e-5f));
  const bool trailing = axes == axis_range(x_rank - static_cast<int64_t>(axes.size()), x_rank);
  // gamma and beta have the extents of the normalised axes only.
  const auto aligned = [&](std::string_view name) {
    Output value = convert(op.input(name), x.get_element_type());
    op.require(rank(value) == static_cast<int64_t>(axes.size()),
               std::string(name) + " needs one axis per normalised axis");
    if (trailing) return value;
    std::vector<int64_t> missing;
    for (int64_t axis = 0; axis < x_rank; ++axis) {
      if (!std::binary_search(axes.begin(), axes.end(), axis)) missing.push_back(axis);
    }
    return unsqueeze(value, missing);
  };
  if (op.has("gamma")) y = multiply(y, aligned("gamma"));
  if (op.has("beta")) y = add(y, aligned("beta"));
  return y;
}

OpResults translate_l2_norm(OpContext& op) {
  const Output x = op.input("x");
  const int64_t x_rank = rank(x);
  op.require(x_rank >= 3, "x needs rank 3 or more");
  const Output squares =
      reduce_sum(multiply(x, x), axis_range(x_rank - 3, x_rank), /*keep_dims=*/true);
  return divide(
      x, make<ov::op::v0::Sqrt>(add(squares, scalar_like(squares, op.real("epsilon", 1e-6f)))));
}

// x / (k + alpha / size * sum of squares over `size` neighbouring channels) ^ beta.
OpResults translate_local_response_norm(OpContext& op) {
  const Output x = op.input("x");
  const int64_t x_rank = rank(x);
  op.require(x_rank >= 3, "x needs rank 3 or more");
  const int64_t size = op.integer("size");
  op.require(size >= 1 && size <= (1 << 16), "size must be positive");
  const float alpha = op.real("alpha", 1e-4f), beta = op.real("beta", 0.75f),
              k = op.real("k", 1.0f);
  // Not OpenVINO's LRN, whose results differ on the CPU; and an even window has one more channel
  // before than after.
  const int64_t channels = extent(x, 1);
  if (channels < 0) op.fail_unsupported("an unknown number of channels");
  std::vector<int64_t> before(static_cast<size_t>(x_rank), 0),
      after(static_cast<size_t>(x_rank), 0);
  before[1] = size / 2;
  after[1] = (size - 1) / 2;
  const Output squares = multiply(x, x);
  const Output padded = make<ov::op::v1::Pad>(squares, i64(before), i64(after),
                                              scalar_like(squares, 0.0), ov::op::PadMode::CONSTANT);
  // Two nodes and their constants for each: some kilobytes for one number of the program.
  TranslationBudget::charge(static_cast<uint64_t>(size), 16 << 10);
  Output sum;
  for (int64_t offset = 0; offset < size; ++offset) {
    const Output part = slice(padded, 1, offset, offset + channels);
    sum = offset == 0 ? part : add(sum, part);
  }
  const Output base =
      add(multiply(sum, scalar_like(sum, static_cast<double>(alpha) / static_cast<double>(size))),
          scalar_like(sum, k));
  return multiply(x, make<ov::op::v1::Power>(base, scalar_like(base, -beta)));
}

}  // namespace

OpTable normalization_ops() {
  static constexpr OpEntry kOps[] = {
      {"batch_norm", translate_batch_norm},
      {"instance_norm", translate_instance_norm},
      {"l2_norm", translate_l2_norm},
      {"layer_norm", translate_layer_norm},
      {"local_response_norm", translate_local_response_norm},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
