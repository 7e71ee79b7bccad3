// NumericMode::kLowPrecision: which kernels OpenVINO chooses, and how far results are from exact.

#include "runtime/engine/portable/low_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "openvino/openvino.hpp"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/translator.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;

constexpr float kInputScale = 0.05f;
constexpr float kOutputScale = 0.1f;
constexpr int64_t kChannels = 16;

model::ValueType tensor(ElementType element, std::vector<int64_t> shape) {
  model::ValueType type;
  type.element = element;
  type.shape = std::move(shape);
  return type;
}

template <typename T>
model::Argument constant(ElementType element, const std::vector<int64_t>& shape,
                         const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {"", make_constant(element, shape, std::move(bytes))};
}

model::Argument text(const std::string& value) {
  auto result = std::make_shared<model::Constant>();
  result->type = tensor(ElementType::kString, {});
  result->strings = {value};
  return {"", result};
}

// y = dequantize(quantize(relu(conv(dequantize(quantize(x)), w)))), with int8 weights and a scale
// for each of its output channels.
model::Function quantized_convolution() {
  std::mt19937 generator(7);
  std::uniform_int_distribution<int> byte(-127, 127);
  std::vector<int8_t> weight(kChannels * kChannels * 9);
  for (int8_t& value : weight) value = static_cast<int8_t>(byte(generator));
  std::vector<float> scales(kChannels);
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = 1e-3f + 1e-4f * static_cast<float>(i);

  const model::ValueType value_type = tensor(ElementType::kFloat32, {1, kChannels, 12, 12});
  const model::Argument input_scale = constant(ElementType::kFloat32, {}, std::vector{kInputScale});
  const model::Argument output_scale =
      constant(ElementType::kFloat32, {}, std::vector{kOutputScale});
  const model::Argument zero_point = constant(ElementType::kUInt8, {}, std::vector<uint8_t>{3});
  model::Function function;
  function.name = "main";
  function.opset = "CoreML7";
  function.inputs = {{"x", value_type}};
  const auto add = [&](const std::string& type, const std::string& output, ElementType element,
                       std::map<std::string, std::vector<model::Argument>> inputs) {
    model::Operation operation;
    operation.type = type;
    operation.inputs = std::move(inputs);
    model::ValueType output_type = value_type;
    output_type.element = element;
    if (type.starts_with("constexpr")) output_type.shape = {kChannels, kChannels, 3, 3};
    operation.outputs = {{output, output_type}};
    function.body.operations.push_back(std::move(operation));
  };
  add("quantize", "q", ElementType::kInt8,
      {{"input", {{"x", nullptr}}}, {"scale", {input_scale}}, {"output_dtype", {text("int8")}}});
  add("dequantize", "d", ElementType::kFloat32,
      {{"input", {{"q", nullptr}}}, {"scale", {input_scale}}});
  add("constexpr_affine_dequantize", "w", ElementType::kFloat32,
      {{"quantized_data", {constant(ElementType::kInt8, {kChannels, kChannels, 3, 3}, weight)}},
       {"scale", {constant(ElementType::kFloat32, {kChannels}, scales)}},
       {"zero_point", {constant(ElementType::kInt8, {}, std::vector<int8_t>{0})}},
       {"axis", {constant(ElementType::kInt32, {}, std::vector<int32_t>{0})}}});
  add("conv", "c", ElementType::kFloat32,
      {{"x", {{"d", nullptr}}}, {"weight", {{"w", nullptr}}}, {"pad_type", {text("same")}}});
  add("relu", "r", ElementType::kFloat32, {{"x", {{"c", nullptr}}}});
  add("quantize", "p", ElementType::kUInt8,
      {{"input", {{"r", nullptr}}},
       {"scale", {output_scale}},
       {"zero_point", {zero_point}},
       {"output_dtype", {text("uint8")}}});
  add("dequantize", "y", ElementType::kFloat32,
      {{"input", {{"p", nullptr}}}, {"scale", {output_scale}}, {"zero_point", {zero_point}}});
  function.body.outputs = {"y"};
  return function;
}

struct Execution {
  std::string convolution_precision;
  std::vector<float> output;
};

Execution run(const model::Function& function, NumericMode mode, const std::vector<float>& input) {
  TranslateOptions options;
  options.numeric_mode = mode;
  const Result<Translation> translation = translate(function, options);
  EXPECT_TRUE(translation.ok()) << translation.status().to_string();
  if (!translation.ok()) return {};
  ov::CompiledModel compiled =
      core().compile_model(translation->model, "CPU", compile_properties(mode, 1, false));
  Execution result;
  for (const auto& node : compiled.get_runtime_model()->get_ops()) {
    const ov::AnyMap facts(node->get_rt_info().begin(), node->get_rt_info().end());
    if (facts.at("layerType").as<std::string>() == "Convolution") {
      result.convolution_precision = facts.at("runtimePrecision").as<std::string>();
    }
  }
  ov::InferRequest request = compiled.create_infer_request();
  std::vector<float> copy = input;
  request.set_input_tensor(ov::Tensor(ov::element::f32, compiled.input().get_shape(), copy.data()));
  request.infer();
  const ov::Tensor output = request.get_output_tensor();
  result.output.assign(output.data<float>(), output.data<float>() + output.get_size());
  return result;
}

TEST(LowPrecision, QuantizedConvolutionsHaveIntegerKernels) {
  const model::Function function = quantized_convolution();
  std::mt19937 generator(11);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> input(kChannels * 12 * 12);
  for (float& value : input) value = normal(generator);

  const Execution exact = run(function, NumericMode::kFloat32, input);
  const Execution low = run(function, NumericMode::kLowPrecision, input);
  EXPECT_EQ(exact.convolution_precision, "f32");
  EXPECT_THAT(low.convolution_precision, ::testing::AnyOf("i8", "u8"));

  ASSERT_EQ(exact.output.size(), low.output.size());
  size_t different = 0;
  float largest = 0;
  for (size_t i = 0; i < exact.output.size(); ++i) {
    const float difference = std::abs(exact.output[i] - low.output[i]);
    // By a step of the output's scale, where a value was between two integers.
    EXPECT_LE(difference, kOutputScale * 1.001f) << i;
    if (difference > 1e-5f) ++different;
    largest = std::max(largest, exact.output[i]);
  }
  EXPECT_LE(different, exact.output.size() / 100);
  EXPECT_GT(largest, 10 * kOutputScale);  // Something was computed.
}

// Ties between two integers round to the even one in both.
TEST(LowPrecision, QuantizeRoundsAndClamps) {
  const std::vector<float> values = {0.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 126.4f, 500.0f, -500.0f};
  for (const auto& [is_signed, zero_point, expected] :
       {std::tuple{true, 0.0f, std::vector<int>{0, 0, 2, 2, 0, -2, 126, 127, -128}},
        std::tuple{false, 4.0f, std::vector<int>{4, 4, 6, 6, 4, 2, 130, 255, 0}}}) {
    const auto parameter =
        std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{values.size()});
    const Output value = low_precision_quantize(parameter, 1.0f, zero_point, is_signed);
    const auto graph = std::make_shared<ov::Model>(
        ov::OutputVector{convert(value, ov::element::i32)}, ov::ParameterVector{parameter});
    ov::TensorVector outputs = {ov::Tensor(ov::element::i32, {values.size()})};
    ov::Tensor input(ov::element::f32, {values.size()});
    std::copy(values.begin(), values.end(), input.data<float>());
    ASSERT_TRUE(graph->evaluate(outputs, {input}));
    const int32_t* const result = outputs[0].data<int32_t>();
    EXPECT_EQ(std::vector<int>(result, result + values.size()), expected);
  }
}

TEST(LowPrecision, OnlyBytesWithScalesOfWholeAxesAreKept) {
  const auto bytes = [](ElementType element, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    return make_constant(element, shape, std::vector<std::byte>(static_cast<size_t>(count)));
  };
  AffineWeight weight;
  weight.data = bytes(ElementType::kInt8, {4, 8});
  weight.scale_shape = {4, 1};
  weight.scale = {1, 2, 3, 4};
  EXPECT_TRUE(low_precision_weight(weight).has_value());
  weight.scale_shape = {1, 2};  // Two groups of columns.
  weight.scale = {1, 2};
  EXPECT_FALSE(low_precision_weight(weight).has_value());
  weight.scale_shape = {1, 1};
  weight.scale = {1};
  weight.offset = make_constant(ElementType::kFloat32, {1, 1}, std::vector<std::byte>(4));
  EXPECT_FALSE(low_precision_weight(weight).has_value());
  weight.offset = bytes(ElementType::kInt8, {1, 1});
  EXPECT_TRUE(low_precision_weight(weight).has_value());
  weight.data = make_constant(ElementType::kInt4, {4, 8}, std::vector<std::byte>(16));
  EXPECT_FALSE(low_precision_weight(weight).has_value());
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
