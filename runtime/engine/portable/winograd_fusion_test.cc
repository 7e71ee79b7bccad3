#include "runtime/engine/portable/winograd_fusion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "openvino/op/add.hpp"
#include "openvino/op/clamp.hpp"
#include "openvino/op/concat.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/convolution.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/relu.hpp"
#include "openvino/openvino.hpp"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/winograd_convolution.h"

namespace coreml_delegate::engine::portable {
namespace {

std::vector<float> normal_values(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

Output constant(const ov::Shape& shape, uint32_t seed,
                const ov::element::Type& type = ov::element::f32) {
  const std::vector<float> values = normal_values(ov::shape_size(shape), seed);
  const auto node = std::make_shared<ov::op::v0::Constant>(type, shape, values);
  return convert(node->output(0), ov::element::f32);
}

std::shared_ptr<ov::op::v0::Parameter> parameter(const ov::PartialShape& shape) {
  return std::make_shared<ov::op::v0::Parameter>(ov::element::f32, shape);
}

struct Window {
  int64_t size = 3, stride = 1, dilation = 1, pad = 1;
};

Output convolve(const Output& x, size_t in, size_t out, uint32_t seed, const Window& window = {},
                const ov::element::Type& type = ov::element::f32) {
  const size_t size = static_cast<size_t>(window.size), stride = static_cast<size_t>(window.stride),
               dilation = static_cast<size_t>(window.dilation);
  return make<ov::op::v1::Convolution>(
      x, constant({out, in, size, size}, seed, type), ov::Strides{stride, stride},
      ov::CoordinateDiff{window.pad, window.pad}, ov::CoordinateDiff{window.pad, window.pad},
      ov::Strides{dilation, dilation});
}

Output relu(const Output& x) { return make<ov::op::v0::Relu>(x); }

size_t count(const std::shared_ptr<ov::Model>& model, const std::string& type) {
  const auto nodes = model->get_ordered_ops();
  return static_cast<size_t>(std::count_if(
      nodes.begin(), nodes.end(), [&](const auto& node) { return node->get_type_name() == type; }));
}

size_t count_rewritten(const std::shared_ptr<ov::Model>& model) {
  return count(model, "WinogradConvolution");
}

std::vector<float> predict(ov::CompiledModel compiled) {
  ov::InferRequest request = compiled.create_infer_request();
  for (size_t i = 0; i < compiled.inputs().size(); ++i) {
    ov::Tensor x = request.get_input_tensor(i);
    const std::vector<float> values = normal_values(x.get_size(), static_cast<uint32_t>(100 + i));
    std::copy(values.begin(), values.end(), x.data<float>());
  }
  request.start_async();
  request.wait();
  std::vector<float> results;
  for (size_t i = 0; i < compiled.outputs().size(); ++i) {
    const ov::Tensor y = request.get_output_tensor(i);
    results.insert(results.end(), y.data<float>(), y.data<float>() + y.get_size());
  }
  return results;
}

ov::CompiledModel compile(const std::shared_ptr<ov::Model>& model, int32_t threads) {
  return core().compile_model(model, "CPU",
                              compile_properties(NumericMode::kFloat32, threads, false));
}

double l2_error(const std::vector<float>& values, const std::vector<float>& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(error / size);
}

// Rewrites the model and compares its results with those of OpenVINO's own convolutions, and with
// themselves for other numbers of threads.
void expect_same_results(const std::shared_ptr<ov::Model>& model, size_t rewritten) {
  const std::vector<float> direct = predict(compile(model, 1));
  use_winograd_convolutions(model);
  ASSERT_EQ(count_rewritten(model), rewritten);
  const std::vector<float> results = predict(compile(model, 1));
  ASSERT_EQ(results.size(), direct.size());
  EXPECT_LT(l2_error(results, direct), 16 * std::numeric_limits<float>::epsilon());
  for (const int32_t threads : {2, 3}) EXPECT_EQ(predict(compile(model, threads)), results);
}

TEST(WinogradFusionTest, TakesWhatFollowsAConvolution) {
  const auto x = parameter({2, 32, 20, 22}), shortcut = parameter({2, 64, 20, 22});
  const Output sum = add(convolve(x, 32, 64, 1), constant({1, 64, 1, 1}, 2));
  const auto model = std::make_shared<ov::Model>(ov::OutputVector{relu(add(shortcut, sum))},
                                                 ov::ParameterVector{x, shortcut});
  expect_same_results(model, 1);
  EXPECT_EQ(count(model, "Convolution"), 0u);
  EXPECT_EQ(count(model, "Add"), 0u);
  EXPECT_EQ(count(model, "Relu"), 0u);
}

TEST(WinogradFusionTest, LimitsOnBothSides) {
  const auto x = parameter({1, 16, 13, 15});
  const auto model = std::make_shared<ov::Model>(
      ov::OutputVector{make<ov::op::v0::Clamp>(convolve(x, 16, 32, 1), 0.0, 6.0)},
      ov::ParameterVector{x});
  expect_same_results(model, 1);
  EXPECT_EQ(count(model, "Clamp"), 0u);
}

TEST(WinogradFusionTest, WeightsOfHalfPrecisionAndNoPadding) {
  const auto x = parameter({1, 48, 17, 14});
  const auto model = std::make_shared<ov::Model>(
      ov::OutputVector{convolve(x, 48, 96, 1, {.pad = 0}, ov::element::f16)},
      ov::ParameterVector{x});
  expect_same_results(model, 1);
}

TEST(WinogradFusionTest, AValueThatIsReadTwiceStaysInTheGraph) {
  const auto x = parameter({1, 16, 16, 16});
  const Output y = convolve(x, 16, 32, 1);
  const auto model =
      std::make_shared<ov::Model>(ov::OutputVector{relu(y), y, add(y, y)}, ov::ParameterVector{x});
  expect_same_results(model, 1);
  EXPECT_EQ(count(model, "Relu"), 1u);
  EXPECT_EQ(count(model, "Add"), 1u);
}

TEST(WinogradFusionTest, NothingIsTransposedBetweenTwoOfThem) {
  const auto x = parameter({1, 32, 16, 16});
  const Output first = relu(convolve(x, 32, 32, 1));
  const Output second = relu(add(convolve(first, 32, 32, 2), first));
  const auto model = std::make_shared<ov::Model>(ov::OutputVector{second}, ov::ParameterVector{x});
  expect_same_results(model, 2);
  EXPECT_EQ(count(model, "Transpose"), 2u);
}

TEST(WinogradFusionTest, TwoOfThemAreSummed) {
  const auto x = parameter({1, 32, 16, 16});
  const Output a = add(convolve(x, 32, 32, 1), constant({1, 32, 1, 1}, 3));
  const Output b = add(convolve(x, 32, 32, 2), constant({1, 32, 1, 1}, 4));
  const auto model =
      std::make_shared<ov::Model>(ov::OutputVector{relu(add(a, b))}, ov::ParameterVector{x});
  expect_same_results(model, 2);
  EXPECT_EQ(count(model, "Transpose"), 2u);
}

TEST(WinogradFusionTest, SharedWeightsAndValuesAreMadeOnce) {
  const auto x = parameter({1, 32, 16, 16});
  const Output weights = constant({32, 32, 3, 3}, 5);
  ov::OutputVector results;
  for (int i = 0; i < 3; ++i) {
    results.push_back(
        relu(make<ov::op::v1::Convolution>(x, weights, ov::Strides{1, 1}, ov::CoordinateDiff{1, 1},
                                           ov::CoordinateDiff{1, 1}, ov::Strides{1, 1})));
  }
  const auto model = std::make_shared<ov::Model>(results, ov::ParameterVector{x});
  expect_same_results(model, 3);
  EXPECT_EQ(count(model, "Transpose"), 1u + 3u);
  size_t packed = 0;
  for (const auto& node : model->get_ordered_ops()) {
    packed += node->get_output_size() > 0 &&
              node->get_output_partial_shape(0) == ov::PartialShape{1, 32, 9, 32};
  }
  EXPECT_EQ(packed, 1u);
}

TEST(WinogradFusionTest, SamePaddingAndAResidualThatBroadcasts) {
  const auto x = parameter({2, 16, 15, 16}), shortcut = parameter({1, 32, 15, 16});
  for (const auto pad :
       {ov::op::PadType::SAME_UPPER, ov::op::PadType::SAME_LOWER, ov::op::PadType::VALID}) {
    const Output y = make<ov::op::v1::Convolution>(
        x, constant({32, 16, 3, 3}, 5), ov::Strides{1, 1}, ov::CoordinateDiff{0, 0},
        ov::CoordinateDiff{0, 0}, ov::Strides{1, 1}, pad);
    const bool fits = pad != ov::op::PadType::VALID;
    const auto model = std::make_shared<ov::Model>(
        ov::OutputVector{fits ? add(y, shortcut) : relu(y)},
        fits ? ov::ParameterVector{x, shortcut} : ov::ParameterVector{x});
    expect_same_results(model, 1);
    EXPECT_EQ(count(model, "Add"), fits ? 1u : 0u);
  }
}

TEST(WinogradFusionTest, TheNodeHasTheNameOfTheLastThatItTook) {
  const auto x = parameter({1, 16, 16, 16});
  const Output y = relu(convolve(x, 16, 32, 1));
  y.get_node()->set_friendly_name("last");
  const auto model = std::make_shared<ov::Model>(ov::OutputVector{y}, ov::ParameterVector{x});
  use_winograd_convolutions(model);
  for (const auto& node : model->get_ordered_ops()) {
    if (std::string(node->get_type_name()) == "WinogradConvolution")
      EXPECT_EQ(node->get_friendly_name(), "last");
  }
  EXPECT_EQ(count_rewritten(model), 1u);
}

TEST(WinogradFusionTest, IsImportedAgain) {
  const auto x = parameter({1, 16, 16, 16}), shortcut = parameter({1, 32, 16, 16});
  const Output y = make<ov::op::v0::Clamp>(add(convolve(x, 16, 32, 1), shortcut), -0.25, 3.5);
  const auto model =
      std::make_shared<ov::Model>(ov::OutputVector{y}, ov::ParameterVector{x, shortcut});
  use_winograd_convolutions(model);
  ASSERT_EQ(count_rewritten(model), 1u);
  ov::CompiledModel compiled = compile(model, 2);
  std::stringstream exported;
  compiled.export_model(exported);
  ov::CompiledModel imported =
      core().import_model(exported, "CPU", compile_properties(NumericMode::kFloat32, 2, false));
  EXPECT_EQ(predict(imported), predict(compiled));
}

struct Refused {
  std::string name;
  ov::PartialShape x = {1, 16, 16, 16};
  size_t in = 16, out = 32;
  Window window = {};
};

class WinogradFusionRefusalTest : public testing::TestWithParam<Refused> {};

TEST_P(WinogradFusionRefusalTest, LeavesTheConvolutionAlone) {
  const Refused& refused = GetParam();
  const auto x = parameter(refused.x);
  const auto model = std::make_shared<ov::Model>(
      ov::OutputVector{convolve(x, refused.in, refused.out, 1, refused.window)},
      ov::ParameterVector{x});
  use_winograd_convolutions(model);
  EXPECT_EQ(count_rewritten(model), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Convolutions, WinogradFusionRefusalTest,
    testing::Values(Refused{.name = "stride", .window = {.stride = 2}},
                    Refused{.name = "dilation", .window = {.dilation = 2}},
                    Refused{.name = "window_of_five", .window = {.size = 5, .pad = 2}},
                    Refused{.name = "window_of_one", .window = {.size = 1, .pad = 0}},
                    Refused{.name = "wide_padding", .window = {.pad = 2}},
                    Refused{.name = "in_channels", .x = {1, 24, 16, 16}, .in = 24},
                    Refused{.name = "out_channels", .out = 48},
                    Refused{.name = "small_result", .x = {1, 16, 7, 7}},
                    Refused{.name = "wide_result", .x = {1, 16, 16, 257}},
                    Refused{.name = "one_row", .x = {1, 16, 1, 200}},
                    Refused{.name = "dynamic", .x = {1, 16, -1, 16}},
                    Refused{.name = "dynamic_batch", .x = {-1, 16, 16, 16}}),
    [](const auto& info) { return info.param.name; });

TEST(WinogradFusionRefusalTest, WeightsThatAreNoConstant) {
  const auto x = parameter({1, 16, 16, 16}), weights = parameter({32, 16, 3, 3});
  const Output y =
      make<ov::op::v1::Convolution>(x, weights, ov::Strides{1, 1}, ov::CoordinateDiff{1, 1},
                                    ov::CoordinateDiff{1, 1}, ov::Strides{1, 1});
  const auto model =
      std::make_shared<ov::Model>(ov::OutputVector{y}, ov::ParameterVector{x, weights});
  use_winograd_convolutions(model);
  EXPECT_EQ(count_rewritten(model), 0u);
}

TEST(WinogradFusionRefusalTest, WhatIsConcatenatedWithSeveralOthers) {
  const auto x = parameter({1, 32, 16, 16});
  for (const size_t others : {1, 2}) {
    ov::OutputVector parts(others, x->output(0));
    parts.push_back(relu(convolve(x, 32, 32, 1)));
    const auto model =
        std::make_shared<ov::Model>(ov::OutputVector{concat(parts, 1)}, ov::ParameterVector{x});
    use_winograd_convolutions(model);
    EXPECT_EQ(count_rewritten(model), others == 1 ? 1u : 0u);
  }
}

// What a compiled folder may hold that this program did not write: the node is checked when it is
// read.
struct Malformed {
  std::string name;
  ov::Shape x = {1, 12, 12, 16}, weights = {1, 16, 9, 32}, bias = {32};
  std::optional<ov::Shape> residual = std::nullopt;
  std::vector<int64_t> pads_begin = {1, 1};
  int64_t out_channels = 32;
};

class WinogradConvolutionCheckTest : public testing::TestWithParam<Malformed> {};

TEST_P(WinogradConvolutionCheckTest, RefusesTheNode) {
  const Malformed& malformed = GetParam();
  ov::OutputVector inputs = {parameter(malformed.x), parameter(malformed.weights),
                             parameter(malformed.bias)};
  if (malformed.residual) inputs.push_back(parameter(*malformed.residual));
  WinogradConvolution::Attributes attributes;
  attributes.out_channels = malformed.out_channels;
  attributes.pads_begin = malformed.pads_begin;
  EXPECT_THROW(WinogradConvolution(inputs, attributes), ov::Exception);
}

INSTANTIATE_TEST_SUITE_P(
    Nodes, WinogradConvolutionCheckTest,
    testing::Values(
        Malformed{.name = "weights_of_other_channels", .weights = {1, 32, 9, 32}},
        Malformed{.name = "weights_of_fewer_blocks", .bias = {64}, .out_channels = 64},
        Malformed{.name = "short_bias", .bias = {16}},
        Malformed{.name = "channels", .x = {1, 12, 12, 8}, .weights = {1, 8, 9, 32}},
        Malformed{
            .name = "out_channels", .weights = {1, 16, 9, 32}, .bias = {48}, .out_channels = 48},
        Malformed{
            .name = "no_out_channels", .weights = {0, 16, 9, 32}, .bias = {0}, .out_channels = 0},
        Malformed{.name = "negative_pads", .pads_begin = {-1, 1}},
        Malformed{.name = "huge_pads", .pads_begin = {int64_t{1} << 62, 1}},
        Malformed{.name = "one_pad", .pads_begin = {1}},
        Malformed{.name = "no_rows", .x = {1, 0, 12, 16}, .pads_begin = {9, 9}},
        Malformed{.name = "no_images", .x = {0, 12, 12, 16}},
        Malformed{.name = "huge_width", .x = {1, 1, size_t{1} << 62, 16}},
        Malformed{.name = "window_does_not_fit", .x = {1, 1, 12, 16}},
        Malformed{.name = "residual", .residual = ov::Shape{1, 12, 12, 32}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace coreml_delegate::engine::portable
