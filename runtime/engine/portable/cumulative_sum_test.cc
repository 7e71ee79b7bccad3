#include "runtime/engine/portable/cumulative_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "openvino/op/parameter.hpp"
#include "openvino/openvino.hpp"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/translator.h"

namespace coreml_delegate::engine::portable {
namespace {

// What the translator makes of a cumsum of `x`.
std::vector<float> run(const std::vector<float>& x, const std::vector<int64_t>& shape, int64_t axis,
                       bool exclusive, bool reverse) {
  model::ValueType type;
  type.element = model::ElementType::kFloat32;
  type.shape = shape;
  const auto constant = [](model::ElementType element, std::vector<std::byte> bytes) {
    auto value = std::make_shared<model::Constant>();
    value->type.element = element;
    const auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
    value->data = Bytes(ByteSpan(*owner), owner);
    return model::Argument{"", value};
  };
  const auto flag = [&](bool value) {
    return constant(model::ElementType::kBool, {std::byte(value ? 1 : 0)});
  };
  model::Operation operation;
  operation.type = "cumsum";
  operation.inputs = {
      {"x", {{"x", nullptr}}},
      {"axis", {constant(model::ElementType::kInt8, {std::byte(static_cast<uint8_t>(axis))})}},
      {"exclusive", {flag(exclusive)}},
      {"reverse", {flag(reverse)}}};
  operation.outputs = {{"y", type}};
  model::Function function;
  function.name = "main";
  function.opset = "CoreML6";
  function.inputs = {{"x", type}};
  function.body.operations.push_back(std::move(operation));
  function.body.outputs = {"y"};
  const Result<Translation> translation = translate(function, {});
  EXPECT_TRUE(translation.ok()) << translation.status().to_string();
  ov::CompiledModel compiled = core().compile_model(
      translation->model, "CPU", compile_properties(NumericMode::kFloat32, 2, false));
  ov::InferRequest request = compiled.create_infer_request();
  request.set_input_tensor(0, ov::Tensor(ov::element::f32, ov::Shape(shape.begin(), shape.end()),
                                         const_cast<float*>(x.data())));
  request.start_async();
  request.wait();
  const ov::Tensor y = request.get_output_tensor(0);
  return std::vector<float>(y.data<float>(), y.data<float>() + y.get_size());
}

// A vocoder's phase: the sine of its ninth harmonic was off by 1.6e-2.
TEST(CumulativeSum, OfALongPhaseIsAsExactAsTorch) {
  constexpr int64_t kLength = 24000;
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> step(0.05f, 0.2f);
  std::vector<float> x(kLength);
  for (float& element : x) element = step(generator);
  const std::vector<float> y = run(x, {1, kLength}, 1, false, false);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += static_cast<double>(x[i]);
    // The nearest float, but for the order of the sum in double.
    ASSERT_LE(std::fabs(static_cast<double>(y[i]) - sum), std::fabs(sum) * 6e-8) << i;
  }
}

TEST(CumulativeSum, OfEveryAxisForwardsAndBackwards) {
  const std::vector<int64_t> shape = {2, 3, 700};
  std::vector<float> x(2 * 3 * 700);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) - 5.0f;
  for (int64_t axis = 0; axis < 3; ++axis) {
    size_t inner = 1;
    for (size_t k = static_cast<size_t>(axis) + 1; k < 3; ++k)
      inner *= static_cast<size_t>(shape[k]);
    const size_t count = static_cast<size_t>(shape[static_cast<size_t>(axis)]);
    for (const bool exclusive : {false, true}) {
      for (const bool reverse : {false, true}) {
        const std::vector<float> y = run(x, shape, axis, exclusive, reverse);
        ASSERT_EQ(y.size(), x.size());
        for (size_t i = 0; i < x.size(); ++i) {
          const size_t at = i / inner % count;
          double expected = exclusive ? 0.0 : static_cast<double>(x[i]);
          for (size_t k = 0; k < count; ++k) {
            if (reverse ? k > at : k < at)
              expected += static_cast<double>(x[i - at * inner + k * inner]);
          }
          ASSERT_EQ(y[i], static_cast<float>(expected))
              << "axis " << axis << " exclusive " << exclusive << " reverse " << reverse
              << " element " << i;
        }
      }
    }
  }
}

TEST(CumulativeSum, InPlaceGivesTheSame) {
  // OpenVINO may give a node its input's memory for the result.
  std::vector<float> x = {1, 2, 3, 4};
  ov::TensorVector outputs = {ov::Tensor(ov::element::f32, ov::Shape{4}, x.data())};
  const auto parameter = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{4});
  CumulativeSum node(parameter, 0, true, false);
  ASSERT_TRUE(node.evaluate(outputs, {ov::Tensor(ov::element::f32, ov::Shape{4}, x.data())}));
  EXPECT_EQ(x, std::vector<float>({0, 1, 3, 6}));
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
