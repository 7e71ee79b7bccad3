// The delegate with both engines in one program, chosen by option: whole programs run on the Core
// ML engine (Objective-C++, over our framework for GNUstep) and give the same bits as on the
// portable engine, which that framework executes with.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/backend/backend_options_map.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/include/coreml_backend/coreml_backend_options.h"
#include "runtime/include/coreml_delegate.h"

namespace {

using executorch::backends::coreml::LoadOptionsBuilder;
using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::LoadBackendOptionsMap;
using ::testing::HasSubstr;

constexpr char kFolder[] = "tests/end_to_end/testdata/";

// The first output of a method on the engine.
std::vector<float> run(const std::string& program, const char* engine, const std::string& method,
                       std::vector<float> values, const std::vector<int32_t>& shape) {
  LoadOptionsBuilder options;
  options.setEngine(engine);
  LoadBackendOptionsMap map;
  EXPECT_EQ(map.set_options(options), Error::Ok);
  Module module(kFolder + program);
  EXPECT_EQ(module.load(map), Error::Ok);
  const auto outputs =
      module.execute(method, from_blob(values.data(), {shape.begin(), shape.end()}));
  EXPECT_TRUE(outputs.ok()) << coreml_delegate::last_error();
  if (!outputs.ok()) return {};
  const auto tensor = outputs->at(0).toTensor();
  const float* const data = tensor.const_data_ptr<float>();
  return {data, data + tensor.numel()};
}

std::vector<float> waves(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = std::sin(static_cast<float>(i));
  return values;
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  ASSERT_FALSE(a.empty());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

TEST(CoreMLEngineDelegateTest, BothEnginesAreThereAndCoreMLIsTheDefault) {
  const coreml_delegate::Diagnostics found = coreml_delegate::diagnose();
  EXPECT_TRUE(found.is_registered);
  EXPECT_EQ(found.default_engine, "coreml");
  EXPECT_EQ(found.engines.size(), 2u);
}

TEST(CoreMLEngineDelegateTest, ProgramsGiveTheSameBitsOnBothEngines) {
  expect_same_bits(run("sin_float32.pte", "coreml", "forward", {0.5f}, {1}),
                   run("sin_float32.pte", "portable", "forward", {0.5f}, {1}));
  expect_same_bits(run("stock_sin.pte", "coreml", "forward", waves(6), {2, 3}),
                   run("stock_sin.pte", "portable", "forward", waves(6), {2, 3}));
  EXPECT_NEAR(run("sin_float32.pte", "coreml", "forward", {0.5f}, {1}).at(0), std::sin(0.5f),
              1e-6f);
}

TEST(CoreMLEngineDelegateTest, MethodsThatShareWeights) {
  expect_same_bits(run("stock_shared_weights.pte", "coreml", "forward", waves(320), {5, 64}),
                   run("stock_shared_weights.pte", "portable", "forward", waves(320), {5, 64}));
  expect_same_bits(run("stock_shared_weights.pte", "coreml", "decode", waves(64), {1, 64}),
                   run("stock_shared_weights.pte", "portable", "decode", waves(64), {1, 64}));
}

TEST(CoreMLEngineDelegateTest, AWrongTensorIsRefused) {
  LoadOptionsBuilder options;
  options.setEngine("coreml").setComputeUnit(LoadOptionsBuilder::ComputeUnit::CPU_ONLY);
  LoadBackendOptionsMap map;
  ASSERT_EQ(map.set_options(options), Error::Ok);
  Module module(std::string(kFolder) + "sin_float32.pte");
  ASSERT_EQ(module.load(map), Error::Ok);
  std::vector<float> x = {1, 2};
  EXPECT_FALSE(module.forward(from_blob(x.data(), {2})).ok());
}

}  // namespace
