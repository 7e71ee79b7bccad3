#include "runtime/engine/portable/weight_roles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "openvino/op/constant.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/convolution.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/runtime/tensor.hpp"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/openvino_core.h"

namespace coreml_delegate::engine::portable {
namespace {

using Parameter = ov::op::v0::Parameter;

std::vector<float> integers(size_t count, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random() % 17) - 8;
  return values;
}

Output weight(const ov::Shape& shape, const ov::element::Type& type = ov::element::f32,
              int seed = 1) {
  return convert(make<ov::op::v0::Constant>(type, shape, integers(ov::shape_size(shape), seed)),
                 ov::element::f32);
}

// What the graph gives for integers, compiled as it is, or exported and imported as well.
std::vector<std::vector<float>> run(const std::shared_ptr<ov::Model>& model, bool exported) {
  const ov::AnyMap properties = compile_properties(NumericMode::kFloat32, 2, false);
  ov::CompiledModel compiled = core().compile_model(model, "CPU", properties);
  if (exported) {
    std::stringstream bytes;
    compiled.export_model(bytes);
    compiled = core().import_model(bytes, "CPU", properties);
  }
  ov::InferRequest request = compiled.create_infer_request();
  for (const ov::Output<const ov::Node>& input : compiled.inputs()) {
    ov::Tensor tensor(ov::element::f32, input.get_shape());
    const std::vector<float> values = integers(tensor.get_size(), 2);
    std::copy(values.begin(), values.end(), tensor.data<float>());
    request.set_tensor(input, tensor);
  }
  request.infer();
  std::vector<std::vector<float>> results;
  for (size_t i = 0; i < compiled.outputs().size(); ++i) {
    const ov::Tensor tensor = request.get_output_tensor(i);
    results.emplace_back(tensor.data<float>(), tensor.data<float>() + tensor.get_size());
  }
  return results;
}

// Sums of small integers are exact: every result is what its operation gives in a graph of its own.
void expect_results_of_their_own(const std::shared_ptr<Parameter>& x,
                                 const ov::OutputVector& results) {
  const ov::ParameterVector parameters{x};
  std::vector<std::vector<float>> expected;
  for (const Output& result : results) {
    expected.push_back(run(std::make_shared<ov::Model>(ov::OutputVector{result}, parameters),
                           /*exported=*/false)[0]);
  }
  const auto model = std::make_shared<ov::Model>(results, parameters);
  separate_weight_roles(model);
  EXPECT_EQ(run(model, /*exported=*/false), expected);
  EXPECT_EQ(run(model, /*exported=*/true), expected);
}

size_t weights(const std::shared_ptr<ov::Model>& model) {
  std::set<std::string> found;
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    const auto* const constant = dynamic_cast<const ov::op::v0::Constant*>(node.get());
    if (constant != nullptr) {
      found.emplace(static_cast<const char*>(constant->get_data_ptr()), constant->get_byte_size());
    }
  }
  return found.size();
}

TEST(WeightRolesTest, ASquareMatrixInBothWays) {
  for (const ov::element::Type& type : {ov::element::f32, ov::element::f16}) {
    for (const size_t extent : {2, 64}) {
      for (const ov::Shape& shape : {ov::Shape{extent, extent}, ov::Shape{2, extent, extent}}) {
        SCOPED_TRACE(type.to_string() + shape.to_string());
        const auto x = std::make_shared<Parameter>(ov::element::f32, shape);
        const Output one = weight({extent, extent}, type), equal = weight({extent, extent}, type);
        ov::OutputVector results;
        for (const Output& w : {one, equal}) {
          for (const bool transposed : {true, false}) {
            results.push_back(make<ov::op::v0::MatMul>(x, w, false, transposed));
            results.push_back(make<ov::op::v0::MatMul>(x, w, true, transposed));
            results.push_back(make<ov::op::v0::MatMul>(w, x, transposed, false));
          }
        }
        expect_results_of_their_own(x, results);
      }
    }
  }
}

// The transposed matrix is there as well, and is itself read in both ways.
TEST(WeightRolesTest, AMatrixAndItsTransposed) {
  const auto x = std::make_shared<Parameter>(ov::element::f32, ov::Shape{32, 32});
  const std::vector<float> values = integers(32 * 32, 1);
  std::vector<float> turned(values.size());
  for (size_t i = 0; i < turned.size(); ++i) turned[i] = values[i % 32 * 32 + i / 32];
  ov::OutputVector results;
  for (const std::vector<float>& matrix : {values, turned}) {
    const Output w = make<ov::op::v0::Constant>(ov::element::f32, ov::Shape{32, 32}, matrix);
    for (const bool transposed : {false, true}) {
      results.push_back(make<ov::op::v0::MatMul>(x, w, false, transposed));
    }
  }
  expect_results_of_their_own(x, results);
}

// The same bytes as a matrix of other extents, turned: what is packed has the same extents.
TEST(WeightRolesTest, BytesReadAsTwoMatrices) {
  const auto x = std::make_shared<Parameter>(ov::element::f32, ov::Shape{16, 16});
  expect_results_of_their_own(x, {make<ov::op::v0::MatMul>(x, weight({16, 32}), false, false),
                                  make<ov::op::v0::MatMul>(x, weight({32, 16}), false, true)});
}

TEST(WeightRolesTest, AConvolutionAndATransposedConvolution) {
  for (const size_t kernel : {1, 3}) {
    SCOPED_TRACE(kernel);
    const auto x = std::make_shared<Parameter>(ov::element::f32, ov::Shape{1, 16, 8, 8});
    const Output w = weight({16, 16, kernel, kernel}, ov::element::f16);
    const ov::Strides one{1, 1};
    const ov::CoordinateDiff none{0, 0};
    expect_results_of_their_own(
        x, {make<ov::op::v1::Convolution>(x, w, one, none, none, one),
            make<ov::op::v1::ConvolutionBackpropData>(x, w, one, none, none, one),
            make<ov::op::v1::Convolution>(x, w, ov::Strides{2, 2}, none, none, one),
            make<ov::op::v1::ConvolutionBackpropData>(x, w, ov::Strides{2, 2}, none, none, one)});
  }
}

TEST(WeightRolesTest, WhatIsReadInOneWayStaysAsItIs) {
  const auto x = std::make_shared<Parameter>(ov::element::f32, ov::Shape{8, 8});
  const Output square = weight({8, 8}), wide = weight({8, 24});
  const Output tall = weight({24, 8}, ov::element::f32, /*seed=*/3);
  const Output y = make<ov::op::v0::MatMul>(x, square, false, true);
  const auto model = std::make_shared<ov::Model>(
      ov::OutputVector{make<ov::op::v0::MatMul>(y, square, false, true),
                       make<ov::op::v0::MatMul>(y, wide, false, false),
                       make<ov::op::v0::MatMul>(make<ov::op::v0::MatMul>(y, wide, false, false),
                                                wide, false, true),
                       make<ov::op::v0::MatMul>(y, tall, false, true)},
      ov::ParameterVector{x});
  const size_t before = weights(model);
  separate_weight_roles(model);
  EXPECT_EQ(weights(model), before);
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
