// A limit on the processor's features holds for all of OpenVINO, not only for oneDNN's kernels.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "openvino/op/constant.hpp"
#include "openvino/op/interpolate.hpp"
#include "openvino/op/mvn.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/topk.hpp"
#include "openvino/openvino.hpp"
#include "runtime/engine/portable/openvino_core.h"

#if defined(__x86_64__) && defined(__linux__)

// OpenVINO's, which its headers do not declare.
namespace ov {
bool with_cpu_x86_sse42();
bool with_cpu_x86_avx2();
bool with_cpu_x86_avx512_core();
bool with_cpu_x86_avx512_core_amx_int8();
}  // namespace ov

namespace coreml_delegate::engine::portable {
namespace {

// Before anything asks: the variable is read once. Nothing where the whole run has a limit already.
const int kLimited = cpu_limit_from_environment().has_value()
                         ? 0
                         : setenv("ONEDNN_MAX_CPU_ISA", "AVX2", /*overwrite=*/1);

std::vector<float> run(const std::shared_ptr<ov::Node>& node,
                       const std::shared_ptr<ov::op::v0::Parameter>& x) {
  const auto model = std::make_shared<ov::Model>(node->outputs(), ov::ParameterVector{x});
  ov::CompiledModel compiled =
      core().compile_model(model, "CPU", compile_properties(NumericMode::kFloat32, 1, false));
  ov::InferRequest request = compiled.create_infer_request();
  ov::Tensor input = request.get_input_tensor();
  for (size_t i = 0; i < input.get_size(); ++i) {
    input.data<float>()[i] = std::sin(static_cast<float>(i));
  }
  request.infer();
  const ov::Tensor output = request.get_output_tensor(0);
  return {output.data<float>(), output.data<float>() + output.get_size()};
}

std::shared_ptr<ov::op::v0::Parameter> image() {
  return std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{1, 20, 5, 7});
}

TEST(OpenvinoCpu, AnswersAsTheLimitSays) {
  ASSERT_EQ(kLimited, 0);
  ASSERT_TRUE(cpu_limit_from_environment().has_value());
  EXPECT_EQ(ov::with_cpu_x86_sse42(), cpu_features().has(CpuFeature::kSse41));
  EXPECT_EQ(ov::with_cpu_x86_avx2(), cpu_features().has(CpuFeature::kAvx2));
  EXPECT_EQ(ov::with_cpu_x86_avx512_core(), cpu_features().has(kAvx512Core));
  EXPECT_EQ(ov::with_cpu_x86_avx512_core_amx_int8(), cpu_features().has(CpuFeature::kAmxInt8));
}

// Crashed with AVX2 on a processor that has AVX-512.
TEST(OpenvinoCpu, Normalizes) {
  const auto x = image();
  const std::vector<float> result =
      run(std::make_shared<ov::op::v6::MVN>(
              x, ov::op::v0::Constant::create(ov::element::i64, {2}, {2, 3}), true, 1e-5f,
              ov::op::MVNEpsMode::INSIDE_SQRT),
          x);
  ASSERT_EQ(result.size(), 20u * 35u);
  for (size_t channel = 0; channel < 20; ++channel) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < 35; ++i) {
      const double value = std::sin(static_cast<float>(channel * 35 + i));
      sum += value;
      squares += value * value;
    }
    const double mean = sum / 35, variance = squares / 35 - mean * mean;
    for (size_t i = 0; i < 35; ++i) {
      const double value = std::sin(static_cast<float>(channel * 35 + i));
      EXPECT_NEAR(result[channel * 35 + i], (value - mean) / std::sqrt(variance + 1e-5), 1e-5);
    }
  }
}

// Did not compile with SSE4.1 on a processor that has AVX.
TEST(OpenvinoCpu, FindsTheLargest) {
  const auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{3, 40});
  const std::vector<float> result =
      run(std::make_shared<ov::op::v11::TopK>(
              x, ov::op::v0::Constant::create(ov::element::i64, {}, {1}), 1, "max", "value"),
          x);
  ASSERT_EQ(result.size(), 3u);
  for (size_t row = 0; row < 3; ++row) {
    float largest = -2;
    for (size_t i = 0; i < 40; ++i) {
      largest = std::max(largest, std::sin(static_cast<float>(row * 40 + i)));
    }
    EXPECT_EQ(result[row], largest);
  }
}

TEST(OpenvinoCpu, Resizes) {
  const auto x = image();
  using Interpolate = ov::op::v11::Interpolate;
  Interpolate::InterpolateAttrs attributes;
  attributes.mode = Interpolate::InterpolateMode::LINEAR_ONNX;
  attributes.shape_calculation_mode = Interpolate::ShapeCalcMode::SIZES;
  attributes.coordinate_transformation_mode = Interpolate::CoordinateTransformMode::ASYMMETRIC;
  const std::vector<float> result =
      run(std::make_shared<Interpolate>(
              x, ov::op::v0::Constant::create(ov::element::i64, {2}, {10, 14}),
              ov::op::v0::Constant::create(ov::element::i64, {2}, {2, 3}), attributes),
          x);
  ASSERT_EQ(result.size(), 20u * 140u);
  for (size_t channel = 0; channel < 20; ++channel) {
    for (size_t row = 0; row < 5; ++row) {
      for (size_t column = 0; column < 7; ++column) {
        // Every other one is an element of the image.
        EXPECT_FLOAT_EQ(result[channel * 140 + row * 28 + column * 2],
                        std::sin(static_cast<float>(channel * 35 + row * 7 + column)));
      }
    }
  }
}

}  // namespace
}  // namespace coreml_delegate::engine::portable

#endif
