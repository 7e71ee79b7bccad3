#include "runtime/engine/portable/compressed_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "openvino/op/gather.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/openvino.hpp"
#include "runtime/engine/portable/constant_elements.h"
#include "runtime/engine/portable/openvino_core.h"

namespace coreml_delegate::engine::portable {
namespace {

constexpr int64_t kRows = 64, kColumns = 96;

// A [kRows, kColumns] weight with scales of `scale_shape` and, if asked for, offsets.
AffineWeight example(model::ElementType element, std::vector<int64_t> scale_shape, bool offset) {
  AffineWeight weight;
  std::vector<std::byte> data(kRows * kColumns);
  for (size_t i = 0; i < data.size(); ++i) data[i] = std::byte(i * 37 % 251 & 15);
  weight.data = pack_elements(element, {kRows, kColumns}, data);
  const size_t scales = static_cast<size_t>(scale_shape[0] * scale_shape[1]);
  std::vector<std::byte> offsets;
  for (size_t i = 0; i < scales; ++i) {
    weight.scale.push_back(0.01f * static_cast<float>(i % 7 + 1));
    offsets.push_back(std::byte(i % 5));
  }
  weight.scale_shape = std::move(scale_shape);
  if (offset) weight.offset = pack_elements(element, weight.scale_shape, offsets);
  return weight;
}

// Products of [4, n] and the weight, transposed where said so, one for each element.
std::shared_ptr<ov::Model> products(const Output& weight, const std::vector<bool>& transpose) {
  ov::ParameterVector inputs;
  ov::OutputVector outputs;
  for (const bool transposed : transpose) {
    const size_t inner = static_cast<size_t>(transposed ? kColumns : kRows);
    auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{4, inner});
    outputs.push_back(make<ov::op::v0::MatMul>(x, weight, false, transposed));
    inputs.push_back(std::move(x));
  }
  return std::make_shared<ov::Model>(outputs, inputs);
}

struct Execution {
  std::vector<float> results;
  // The nodes that OpenVINO executes: types, and element types of the constants.
  std::vector<std::string> layers;
  std::vector<ov::element::Type> constants;
};

Execution run(const std::shared_ptr<ov::Model>& model) {
  ov::CompiledModel compiled =
      core().compile_model(model, "CPU", compile_properties(NumericMode::kFloat32, 1, false));
  ov::InferRequest request = compiled.create_infer_request();
  for (size_t input = 0; input < compiled.inputs().size(); ++input) {
    ov::Tensor x = request.get_input_tensor(input);
    for (size_t i = 0; i < x.get_size(); ++i) {
      x.data<float>()[i] = std::sin(static_cast<float>(i));
    }
  }
  request.start_async();
  request.wait();
  Execution execution;
  for (size_t output = 0; output < compiled.outputs().size(); ++output) {
    const ov::Tensor y = request.get_output_tensor(output);
    execution.results.insert(execution.results.end(), y.data<float>(),
                             y.data<float>() + y.get_size());
  }
  for (const auto& node : compiled.get_runtime_model()->get_ordered_ops()) {
    execution.layers.push_back(node->get_rt_info().at("layerType").as<std::string>());
    if (execution.layers.back() == "Const")
      execution.constants.push_back(node->get_output_element_type(0));
  }
  return execution;
}

void expect_close(const std::vector<float>& values, const std::vector<float>& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], expected[i], 1e-4f) << "element " << i;
  }
}

struct Case {
  const char* name;
  std::vector<int64_t> scale_shape;
  std::vector<bool> transpose;
};

using Parameters = std::tuple<Case, std::pair<model::ElementType, ov::element::Type>, bool>;

class CompressedWeight : public testing::TestWithParam<Parameters> {};

// What a product whose weight is expanded in each run, or a copy of it in float32, would show.
TEST_P(CompressedWeight, IsReadByTheKernelAsItIs) {
  const auto& [parameters, element, offset] = GetParam();
  const AffineWeight weight = example(element.first, parameters.scale_shape, offset);
  const std::optional<Output> value = compress(weight);
  ASSERT_EQ(value.has_value(), multiplies_compressed_weights(cpu_features()));
  if (!value.has_value()) return;  // No kernel on this processor: weights are dense.
  const auto model = products(*value, parameters.transpose);
  settle_compressed_weights(model);
  const Execution compressed = run(model);

  const auto dense = products(constant_node(*dequantize(weight)), parameters.transpose);
  expect_close(compressed.results, run(dense).results);
  const auto count = [](const auto& values, const auto& wanted) {
    return static_cast<size_t>(std::count(values.begin(), values.end(), wanted));
  };
  EXPECT_EQ(count(compressed.layers, "FullyConnected"), parameters.transpose.size());
  EXPECT_GE(count(compressed.constants, element.second), parameters.transpose.size());
  for (const char* layer : {"Convert", "Eltwise", "Reorder", "Subgraph", "Transpose"}) {
    EXPECT_EQ(count(compressed.layers, layer), 0u) << layer;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Products, CompressedWeight,
    testing::Combine(testing::Values(Case{"Tensor", {1, 1}, {true}},
                                     Case{"TensorOfColumns", {1, 1}, {false}},
                                     Case{"TensorOfBoth", {1, 1}, {true, false}},
                                     Case{"Rows", {kRows, 1}, {true}},
                                     Case{"GroupsOfColumns", {kRows, 3}, {true}},
                                     Case{"Columns", {1, kColumns}, {false}},
                                     Case{"GroupsOfRows", {2, kColumns}, {false}}),
                     testing::Values(std::pair{model::ElementType::kInt8, ov::element::i8},
                                     std::pair{model::ElementType::kUInt8, ov::element::u8},
                                     std::pair{model::ElementType::kInt4, ov::element::i4},
                                     std::pair{model::ElementType::kUInt4, ov::element::u4}),
                     testing::Bool()),
    [](const testing::TestParamInfo<Parameters>& info) {
      return std::get<0>(info.param).name + std::get<1>(info.param).second.get_type_name() +
             (std::get<2>(info.param) ? "Offset" : "");
    });

#if defined(__x86_64__)
TEST(CompressedWeights, NeedAvx2) {
  EXPECT_TRUE(multiplies_compressed_weights({CpuFeature::kAvx2}));
  EXPECT_FALSE(multiplies_compressed_weights({CpuFeature::kSse41, CpuFeature::kAvx}));
}
#endif

// OpenVINO gives wrong numbers for scales along the summed axis (2026.4).
TEST(CompressedWeights, AreDenseWhereScalesLieAlongTheSum) {
  for (const bool transpose : {false, true}) {
    const AffineWeight weight = example(
        model::ElementType::kInt8,
        transpose ? std::vector<int64_t>{1, kColumns} : std::vector<int64_t>{kRows, 1}, false);
    const std::optional<Output> value = compress(weight);
    ASSERT_EQ(value.has_value(), multiplies_compressed_weights(cpu_features()));
    if (!value.has_value()) continue;
    const auto model = products(*value, {transpose});
    settle_compressed_weights(model);
    const Execution expanded = run(model);
    expect_close(expanded.results,
                 run(products(constant_node(*dequantize(weight)), {transpose})).results);
    EXPECT_EQ(std::count(expanded.constants.begin(), expanded.constants.end(), ov::element::i8), 0);
  }
}

// An embedding: rows are expanded after they are picked, to the same bits.
TEST(CompressedWeights, RowsArePickedBeforeTheyAreExpanded) {
  for (const auto element :
       {model::ElementType::kInt8, model::ElementType::kUInt8, model::ElementType::kInt4}) {
    for (const std::vector<int64_t>& scales : {std::vector<int64_t>{kRows, 1}, {1, 1}}) {
      for (const bool offset : {false, true}) {
        const AffineWeight weight = example(element, scales, offset);
        const std::optional<Output> value = compress(weight);
        ASSERT_EQ(value.has_value(), multiplies_compressed_weights(cpu_features()));
        if (!value.has_value()) continue;
        const auto picked = [](const Output& table) {
          const auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{2, 3});
          // sin() of 0 to 5, times 63: rows from the end as well.
          const Output indices = convert(multiply(x, f32(63)), ov::element::i32);
          return std::make_shared<ov::Model>(
              ov::OutputVector{make<ov::op::v8::Gather>(table, indices, i64_scalar(0))},
              ov::ParameterVector{x});
        };
        const auto model = picked(*value);
        settle_compressed_weights(model);
        const Execution compressed = run(model);
        EXPECT_EQ(compressed.results, run(picked(constant_node(*dequantize(weight)))).results);
        // OpenVINO picks no rows of 4 bits.
        const bool is_byte = element != model::ElementType::kInt4;
        const auto bytes = std::count_if(
            compressed.constants.begin(), compressed.constants.end(),
            [](const auto& type) { return type == ov::element::i8 || type == ov::element::u8; });
        EXPECT_EQ(bytes > 0, is_byte);
      }
    }
  }
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
