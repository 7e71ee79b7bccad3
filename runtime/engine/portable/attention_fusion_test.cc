#include "runtime/engine/portable/attention_fusion.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <vector>

#include "openvino/op/equal.hpp"
#include "openvino/op/logical_not.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/softmax.hpp"
#include "openvino/openvino.hpp"
#include "runtime/engine/portable/exact_reduce.h"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/openvino_core.h"

namespace coreml_delegate::engine::portable {
namespace {

// Attention as torch decomposes it, heads and batch merged, with the guard of rows that a mask
// empties. Inputs: query, key, value [1, 2, 3, 4], and the mask.
std::shared_ptr<ov::Model> guarded_attention(const ov::Shape& mask_shape) {
  ov::ParameterVector inputs;
  for (int i = 0; i < 3; ++i) {
    inputs.push_back(
        std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{1, 2, 3, 4}));
  }
  inputs.push_back(std::make_shared<ov::op::v0::Parameter>(ov::element::f32, mask_shape));
  const auto merged = [](const Output& x) { return reshape(x, {2, 3, 4}); };
  const Output products =
      make<ov::op::v0::MatMul>(merged(inputs[0]), merged(inputs[1]), false, true);
  const Output scores = add(reshape(products, {1, 2, 3, 3}), inputs[3]);
  const Output differs = make<ov::op::v1::LogicalNot>(
      make<ov::op::v1::Equal>(scores, f32(-std::numeric_limits<float>::infinity())));
  const Output any = make<ExactReduce>(convert(differs, ov::element::i32), ReduceKind::kMaximum,
                                       std::vector<int64_t>{3}, true);
  const Output weights =
      make<ov::op::v1::Select>(make<ov::op::v1::LogicalNot>(convert(any, ov::element::boolean)),
                               f32(0.0f), make<ov::op::v8::Softmax>(scores, -1));
  const Output result =
      make<ov::op::v0::MatMul>(reshape(weights, {2, 3, 3}), merged(inputs[2]), false, false);
  return std::make_shared<ov::Model>(ov::OutputVector{reshape(result, {1, 2, 3, 4})}, inputs);
}

std::vector<float> run(const std::shared_ptr<ov::Model>& model, float mask) {
  ov::CompiledModel compiled =
      core().compile_model(model, "CPU", compile_properties(NumericMode::kFloat32, 1, false));
  ov::InferRequest request = compiled.create_infer_request();
  for (size_t i = 0; i < 4; ++i) {
    ov::Tensor x = request.get_input_tensor(i);
    for (size_t k = 0; k < x.get_size(); ++k)
      x.data<float>()[k] = i == 3 ? mask : 0.1f * static_cast<float>(k % 7);
  }
  request.start_async();
  request.wait();
  const ov::Tensor y = request.get_output_tensor(0);
  return std::vector<float>(y.data<float>(), y.data<float>() + y.get_size());
}

TEST(AttentionFusion, KeepsItsValuesWithAMaskOfAnyRank) {
  for (const ov::Shape& shape : {ov::Shape{}, ov::Shape{3}, ov::Shape{3, 1}, ov::Shape{3, 3}}) {
    const auto model = guarded_attention(shape);
    const auto original = model->clone();
    ASSERT_NO_THROW(fuse_attention(model)) << shape;
    for (const float mask : {0.0f, 1.0f, -std::numeric_limits<float>::infinity()}) {
      const std::vector<float> fused = run(model, mask), expected = run(original, mask);
      ASSERT_EQ(fused.size(), expected.size());
      for (size_t i = 0; i < fused.size(); ++i)
        EXPECT_NEAR(fused[i], expected[i], 1e-6f) << shape << " " << mask << " " << i;
    }
  }
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
