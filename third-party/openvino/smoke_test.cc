// A graph built, compiled for the CPU plugin and run: headers, library and plugin of the wheel
// belong together.

#include <openvino/op/add.hpp>
#include <openvino/op/parameter.hpp>
#include <openvino/runtime/core.hpp>

#include "gtest/gtest.h"

namespace {

TEST(OpenVinoTest, RunsAGraphOnTheCpuPlugin) {
  auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{4});
  auto y = std::make_shared<ov::op::v1::Add>(x, x);
  auto model = std::make_shared<ov::Model>(ov::OutputVector{y}, ov::ParameterVector{x});
  ov::Core core;
  ov::CompiledModel compiled = core.compile_model(model, "CPU");
  ov::InferRequest request = compiled.create_infer_request();
  std::vector<float> values = {1, 2, 3, 4};
  request.set_input_tensor(ov::Tensor(ov::element::f32, ov::Shape{4}, values.data()));
  request.infer();
  const float* result = request.get_output_tensor().data<const float>();
  EXPECT_EQ(std::vector<float>(result, result + 4), (std::vector<float>{2, 4, 6, 8}));
}

}  // namespace
