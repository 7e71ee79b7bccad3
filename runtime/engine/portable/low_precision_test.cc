// NumericMode::kLowPrecision: which kernels OpenVINO chooses, and how far results are from exact.

#include "runtime/engine/portable/low_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "openvino/openvino.hpp"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/translator.h"

namespace coreml_delegate::engine::portable {
namespace {

using ::testing::AnyOf;
using ::testing::StrCaseEq;

using model::ElementType;

constexpr float kInputScale = 0.05f;
constexpr float kOutputScale = 0.1f;
constexpr int64_t kExtent = 12;  // Height and width of images, rows of matrices.

// y = dequantize(quantize(relu(layer(dequantize(quantize(x)), w)))), with int8 weights and a scale
// for each of its output channels.
struct Layer {
  std::string name;
  std::string operation = "conv";  // Or "linear".
  int64_t channels = 16;
  int64_t kernel = 3;
  int64_t groups = 1;
  int64_t stride = 1;
  bool is_signed = true;  // The quantized x.

  friend std::ostream& operator<<(std::ostream& out, const Layer& layer) {
    return out << layer.name;
  }
};

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

model::Function quantized(const Layer& layer) {
  const bool is_linear = layer.operation == "linear";
  const std::vector<int64_t> shape = is_linear ? std::vector<int64_t>{kExtent, layer.channels}
                                               : std::vector{1l, layer.channels, kExtent, kExtent};
  std::vector<int64_t> weight_shape = {layer.channels, layer.channels / layer.groups};
  std::vector<int64_t> output_shape = shape;
  if (!is_linear) {
    weight_shape.insert(weight_shape.end(), {layer.kernel, layer.kernel});
    output_shape[2] = output_shape[3] = kExtent / layer.stride;
  }
  std::mt19937 generator(7);
  std::uniform_int_distribution<int> byte(-127, 127);
  std::vector<int8_t> weight(ov::shape_size(ov::Shape(weight_shape.begin(), weight_shape.end())));
  for (int8_t& value : weight) value = static_cast<int8_t>(byte(generator));
  std::vector<float> scales(static_cast<size_t>(layer.channels));
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = 1e-3f + 1e-4f * static_cast<float>(i % 16);

  const model::Argument input_scale = constant(ElementType::kFloat32, {}, std::vector{kInputScale});
  const model::Argument output_scale =
      constant(ElementType::kFloat32, {}, std::vector{kOutputScale});
  const model::Argument zero_point = constant(ElementType::kUInt8, {}, std::vector<uint8_t>{3});
  model::Function function;
  function.name = "main";
  function.opset = "CoreML7";
  function.inputs = {{"x", tensor(ElementType::kFloat32, shape)}};
  const auto add = [&](const std::string& type, const std::string& output,
                       const model::ValueType& output_type,
                       std::map<std::string, std::vector<model::Argument>> inputs) {
    model::Operation operation;
    operation.type = type;
    operation.inputs = std::move(inputs);
    operation.outputs = {{output, output_type}};
    function.body.operations.push_back(std::move(operation));
  };
  const ElementType byte_type = layer.is_signed ? ElementType::kInt8 : ElementType::kUInt8;
  add("quantize", "q", tensor(byte_type, shape),
      {{"input", {{"x", nullptr}}},
       {"scale", {input_scale}},
       {"output_dtype", {text(layer.is_signed ? "int8" : "uint8")}}});
  add("dequantize", "d", tensor(ElementType::kFloat32, shape),
      {{"input", {{"q", nullptr}}}, {"scale", {input_scale}}});
  add("constexpr_affine_dequantize", "w", tensor(ElementType::kFloat32, weight_shape),
      {{"quantized_data", {constant(ElementType::kInt8, weight_shape, weight)}},
       {"scale", {constant(ElementType::kFloat32, {layer.channels}, scales)}},
       {"zero_point", {constant(ElementType::kInt8, {}, std::vector<int8_t>{0})}},
       {"axis", {constant(ElementType::kInt32, {}, std::vector<int32_t>{0})}}});
  const model::ValueType output_type = tensor(ElementType::kFloat32, output_shape);
  if (is_linear) {
    add("linear", "c", output_type, {{"x", {{"d", nullptr}}}, {"weight", {{"w", nullptr}}}});
  } else {
    const auto number = [&](int64_t value, const std::vector<int64_t>& number_shape) {
      const size_t count = number_shape.empty() ? 1 : static_cast<size_t>(number_shape[0]);
      return constant(ElementType::kInt32, number_shape,
                      std::vector<int32_t>(count, static_cast<int32_t>(value)));
    };
    add("conv", "c", output_type,
        {{"x", {{"d", nullptr}}},
         {"weight", {{"w", nullptr}}},
         {"strides", {number(layer.stride, {2})}},
         {"groups", {number(layer.groups, {})}},
         {"pad_type", {text("same")}}});
  }
  add("relu", "r", output_type, {{"x", {{"c", nullptr}}}});
  add("quantize", "p", tensor(ElementType::kUInt8, output_shape),
      {{"input", {{"r", nullptr}}},
       {"scale", {output_scale}},
       {"zero_point", {zero_point}},
       {"output_dtype", {text("uint8")}}});
  add("dequantize", "y", output_type,
      {{"input", {{"p", nullptr}}}, {"scale", {output_scale}}, {"zero_point", {zero_point}}});
  function.body.outputs = {"y"};
  return function;
}

struct Execution {
  std::string multiplies;
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
    const std::string type = facts.at("layerType").as<std::string>();
    if (type != "Convolution" && type != "FullyConnected" && type != "MatMul") continue;
    // "brgconv_avx512_amx_i8": the kernel, and what it multiplies.
    const std::string kernel = facts.at("primitiveType").as<std::string>();
    result.multiplies = kernel.substr(kernel.rfind('_') + 1);
  }
  ov::InferRequest request = compiled.create_infer_request();
  std::vector<float> copy = input;
  request.set_input_tensor(ov::Tensor(ov::element::f32, compiled.input().get_shape(), copy.data()));
  request.infer();
  const ov::Tensor output = request.get_output_tensor();
  result.output.assign(output.data<float>(), output.data<float>() + output.get_size());
  return result;
}

class LowPrecisionLayerTest : public ::testing::TestWithParam<Layer> {};

INSTANTIATE_TEST_SUITE_P(
    Layers, LowPrecisionLayerTest,
    ::testing::Values(
        Layer{.name = "Conv"}, Layer{.name = "ConvOfBytes", .is_signed = false},
        Layer{.name = "Pointwise", .kernel = 1}, Layer{.name = "Strided", .stride = 2},
        Layer{.name = "Grouped", .channels = 64, .groups = 4},
        Layer{.name = "Depthwise", .channels = 32, .groups = 32},
        Layer{.name = "OddChannels", .channels = 19, .is_signed = false},
        Layer{.name = "Linear", .operation = "linear", .channels = 96},
        Layer{.name = "LinearOfBytes", .operation = "linear", .channels = 96, .is_signed = false}),
    [](const auto& info) { return info.param.name; });

// Integer kernels where their sums are exact, float32 elsewhere: never results that are off by
// more than a step, on any processor.
TEST_P(LowPrecisionLayerTest, IsAsExactAsDocumented) {
  const model::Function function = quantized(GetParam());
  std::mt19937 generator(11);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> input(static_cast<size_t>(GetParam().channels * kExtent) *
                           (GetParam().operation == "linear" ? 1 : kExtent));
  for (float& value : input) value = normal(generator);

  const Execution exact = run(function, NumericMode::kFloat32, input);
  const Execution low = run(function, NumericMode::kLowPrecision, input);
  EXPECT_THAT(exact.multiplies, StrCaseEq("f32"));
  ASSERT_EQ(exact.output.size(), low.output.size());
  if (has_exact_integer_kernels(cpu_features())) {
    EXPECT_THAT(low.multiplies, AnyOf(StrCaseEq("i8"), StrCaseEq("u8")));
  } else {
    EXPECT_THAT(low.multiplies, StrCaseEq("f32"));
    EXPECT_EQ(low.output, exact.output);
  }
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

TEST(LowPrecision, ExactSumsNeedVnniAndTheVectorsOfItsLevel) {
  using enum CpuFeature;
  EXPECT_TRUE(has_exact_integer_kernels(kAvx512Core | CpuFeatures{kAvx512Vnni}));
  EXPECT_TRUE(has_exact_integer_kernels({kAvx2, kAvxVnni}));
  EXPECT_FALSE(has_exact_integer_kernels({kAvx2, kFma}));
  EXPECT_FALSE(has_exact_integer_kernels(kAvx512Core));
  EXPECT_FALSE(has_exact_integer_kernels({kAvx2, kAvx512f, kAvx512Vnni}));
  EXPECT_FALSE(has_exact_integer_kernels({}));
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
