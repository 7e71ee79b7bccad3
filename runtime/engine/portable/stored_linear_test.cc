#include "runtime/engine/portable/stored_linear.h"

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
#include <vector>

#include "base/cpu_features.h"
#include "openvino/op/convert.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/openvino.hpp"
#include "runtime/engine/portable/compressed_weights.h"
#include "runtime/engine/portable/constant_elements.h"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/stored_linear_fusion.h"

namespace coreml_delegate::engine::portable {
namespace {

std::vector<float> normal_values(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

Output half_weight(size_t rows, size_t columns, uint32_t seed) {
  const auto node = std::make_shared<ov::op::v0::Constant>(
      ov::element::f16, ov::Shape{rows, columns}, normal_values(rows * columns, seed));
  return make<ov::op::v0::Convert>(node, ov::element::f32);
}

std::shared_ptr<ov::op::v0::Parameter> parameter(const ov::PartialShape& shape) {
  return std::make_shared<ov::op::v0::Parameter>(ov::element::f32, shape);
}

Output product(const Output& x, const Output& weight, bool transposed = true) {
  return make<ov::op::v0::MatMul>(x, weight, false, transposed);
}

std::shared_ptr<ov::Model> model_of(const ov::OutputVector& results,
                                    const ov::ParameterVector& parameters) {
  return std::make_shared<ov::Model>(results, parameters);
}

size_t count_stored(const std::shared_ptr<ov::Model>& model) {
  const auto nodes = model->get_ordered_ops();
  return static_cast<size_t>(std::count_if(nodes.begin(), nodes.end(), [](const auto& node) {
    return std::string(node->get_type_name()) == "StoredLinear";
  }));
}

ov::CompiledModel compile(const std::shared_ptr<ov::Model>& model, int32_t threads = 1) {
  return core().compile_model(model, "CPU",
                              compile_properties(NumericMode::kFloat32, threads, false));
}

std::vector<float> predict(ov::CompiledModel compiled, const ov::Shape& shape) {
  ov::InferRequest request = compiled.create_infer_request();
  ov::Tensor x(ov::element::f32, shape);
  const std::vector<float> values = normal_values(x.get_size(), 100);
  std::copy(values.begin(), values.end(), x.data<float>());
  request.set_input_tensor(0, x);
  request.start_async();
  request.wait();
  const ov::Tensor y = request.get_output_tensor(0);
  return std::vector<float>(y.data<float>(), y.data<float>() + y.get_size());
}

double l2_error(const std::vector<float>& values, const std::vector<float>& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(error / size);
}

bool has_kernel() { return stored_linear_kernel() != nullptr; }

// Rewrites the model and compares its results with those of OpenVINO's own products, and with
// themselves for other numbers of threads.
void expect_same_results(const std::shared_ptr<ov::Model>& model, const ov::Shape& x,
                         size_t rewritten, WeightLayout& layout) {
  const std::vector<float> expected = predict(compile(model), x);
  use_stored_weights(model, NumericMode::kFloat32, layout);
  settle_compressed_weights(model);
  ASSERT_EQ(count_stored(model), has_kernel() ? rewritten : 0);
  const std::vector<float> results = predict(compile(model), x);
  ASSERT_EQ(results.size(), expected.size());
  EXPECT_LT(l2_error(results, expected), 16 * std::numeric_limits<float>::epsilon());
  for (const int32_t threads : {2, 3}) EXPECT_EQ(predict(compile(model, threads), x), results);
}

TEST(StoredLinearTest, HalfWeightsAreUsedWhereTheyLie) {
  for (const ov::Shape& shape : {ov::Shape{1, 64}, {1, 1, 64}, {2, 3, 64}, {1, 32, 64}}) {
    const auto x = parameter(ov::PartialShape(shape));
    const Output weight = half_weight(515, 64, 1);
    const auto* const stored = static_cast<const std::byte*>(
        dynamic_cast<const ov::op::v0::Constant&>(*weight.get_node()->get_input_node_ptr(0))
            .get_data_ptr());
    const auto model = model_of({product(x, weight)}, {x});
    WeightLayout layout;
    expect_same_results(model, shape, 1, layout);
    if (!has_kernel()) continue;
    ASSERT_EQ(layout.weights().size(), 1u);
    EXPECT_EQ(layout.weights()[0].bytes.size(), 515u * 64 * 2);
    EXPECT_EQ(layout.weights()[0].bytes.data(), stored);
  }
}

TEST(StoredLinearTest, AWeightOfTwoProductsIsThereOnce) {
  const auto x = parameter({1, 128});
  const Output weight = half_weight(128, 128, 2);
  const auto model = model_of({product(product(x, weight), weight)}, {x});
  WeightLayout layout;
  expect_same_results(model, {1, 128}, 2, layout);
  EXPECT_EQ(layout.weights().size(), has_kernel() ? 1u : 0u);
}

TEST(StoredLinearTest, OtherProductsStayOpenVinos) {
  const auto few = parameter({4, 64}), many = parameter({33, 64}), wide = parameter({4, 528});
  const auto open = parameter({-1, 64});
  const auto single = std::make_shared<ov::op::v0::Constant>(ov::element::f32, ov::Shape{512, 64},
                                                             normal_values(512 * 64, 3));
  const auto model = model_of(
      {
          product(few, half_weight(64, 512, 1), false),  // Of columns.
          product(few, half_weight(128, 64, 1)),         // Small.
          product(few, single),                          // float32.
          product(many, half_weight(512, 64, 1)),        // Many rows.
          product(open, half_weight(512, 64, 1)),        // An unknown number of them.
          product(wide, half_weight(512, 528, 1)),       // Columns that are no multiple of 32.
      },
      {few, many, wide, open});
  WeightLayout layout;
  use_stored_weights(model, NumericMode::kFloat32, layout);
  EXPECT_EQ(count_stored(model), 0u);
  EXPECT_TRUE(layout.weights().empty());
}

AffineWeight affine(model::ElementType element, int64_t rows, int64_t columns, int64_t blocks,
                    bool has_offset, uint32_t seed) {
  std::mt19937 generator(seed);
  const bool is_byte =
      element == model::ElementType::kInt8 || element == model::ElementType::kUInt8;
  const auto random = [&](int64_t count) {
    std::vector<std::byte> bytes(static_cast<size_t>(count));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator() & (is_byte ? 255 : 15));
    return bytes;
  };
  AffineWeight weight;
  weight.data = pack_elements(element, {rows, columns}, random(rows * columns));
  weight.scale_shape = {rows, blocks};
  for (int64_t i = 0; i < rows * blocks; ++i)
    weight.scale.push_back(static_cast<float>(generator() % 100 + 1) / 256);
  if (has_offset) weight.offset = pack_elements(element, {rows, blocks}, random(rows * blocks));
  return weight;
}

TEST(StoredLinearTest, CompressedWeightsStayAsTheProgramHasThem) {
  uint32_t seed = 1;
  for (const auto element : {model::ElementType::kInt8, model::ElementType::kUInt8,
                             model::ElementType::kInt4, model::ElementType::kUInt4}) {
    for (const int64_t blocks : {1, 4}) {
      for (const bool has_offset : {false, true}) {
        for (const ov::Shape& shape : {ov::Shape{1, 128}, {1, 5, 128}}) {
          const AffineWeight weight = affine(element, 160, 128, blocks, has_offset, seed++);
          const std::optional<Output> compressed = compress(weight);
          ASSERT_EQ(compressed.has_value(), multiplies_compressed_weights(cpu_features()));
          if (!compressed.has_value()) continue;
          const auto x = parameter(ov::PartialShape(shape));
          WeightLayout layout;
          expect_same_results(model_of({product(x, *compressed)}, {x}), shape, 1, layout);
          if (has_kernel()) {
            EXPECT_EQ(layout.weights()[0].bytes.data(), weight.data->data.data());
          }
        }
      }
    }
  }
}

TEST(StoredLinearTest, InLowPrecisionCompressedWeightsAreOpenVinos) {
  const auto x = parameter({1, 128});
  const AffineWeight weight = affine(model::ElementType::kInt4, 160, 128, 4, false, 1);
  Output result = product(x, half_weight(128, 128, 1));
  if (const std::optional<Output> compressed = compress(weight))
    result = product(result, *compressed);
  const auto model = model_of({result}, {x});
  WeightLayout layout;
  use_stored_weights(model, NumericMode::kLowPrecision, layout);
  EXPECT_EQ(count_stored(model), has_kernel() ? 1u : 0u);
}

// The bytes of a file of weights.
Bytes file_of(const WeightLayout& layout) {
  const auto owner = std::make_shared<std::vector<std::byte>>(layout.size());
  for (const PlacedWeight& weight : layout.weights()) {
    std::copy(weight.bytes.span().begin(), weight.bytes.span().end(),
              owner->begin() + static_cast<std::ptrdiff_t>(weight.offset));
  }
  return Bytes(ByteSpan(*owner), owner);
}

TEST(StoredLinearTest, AnExportedGraphFindsItsWeightsInTheirFile) {
  if (!has_kernel()) return;  // Such a processor's graphs have no such nodes.
  const auto x = parameter({1, 128});
  const Output compressed =
      *compress(affine(model::ElementType::kUInt4, 160, 128, 4, /*has_offset=*/true, 5));
  auto model = model_of({product(product(x, half_weight(128, 128, 1)), compressed)}, {x});
  std::string exported;
  Bytes file;
  std::vector<float> expected;
  {
    WeightLayout layout;
    use_stored_weights(model, NumericMode::kFloat32, layout);
    ASSERT_EQ(count_stored(model), 2u);
    ov::CompiledModel compiled = compile(model);
    expected = predict(compiled, {1, 128});
    std::ostringstream stream;
    compiled.export_model(stream);
    exported = stream.str();
    file = file_of(layout);
  }
  model.reset();
  // The weights are not in it.
  EXPECT_LT(exported.size(), 128u * 128 * 2);
  const auto import = [&] {
    const ov::Tensor tensor(ov::element::u8, ov::Shape{exported.size()}, exported.data());
    return core().import_model(tensor, "CPU", compile_properties(NumericMode::kFloat32, 1, false));
  };
  {
    const WeightFileScope scope(file);
    EXPECT_EQ(predict(import(), {1, 128}), expected);
  }
  // Without its file, or with one that ends before them, the graph is refused.
  EXPECT_THROW(import(), std::exception);
  const Bytes shorter = file.subspan(0, file.size() - 64);
  const WeightFileScope scope(shorter);
  EXPECT_THROW(import(), std::exception);
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
