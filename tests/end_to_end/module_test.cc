// Programs loaded with ExecuTorch's Module in a C++ program that links //runtime:coremldelegate and
// does nothing else about it. The programs in testdata/ stay as they are: later versions must run
// them too.

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/backend/backend_options_map.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
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

std::string path(const std::string& name) { return kFolder + name; }

TEST(ModuleTest, TheBackendIsThereWithoutFurtherAdo) {
  Module module(path("sin_float32.pte"));
  const coreml_delegate::Diagnostics found = coreml_delegate::diagnose();
  EXPECT_TRUE(found.is_registered);
  EXPECT_EQ(found.default_engine, "portable");
}

TEST(ModuleTest, OursRunsInEveryLoadMode) {
  for (const Module::LoadMode mode : {Module::LoadMode::File, Module::LoadMode::Mmap}) {
    Module module(path("sin_float32.pte"), mode);
    std::vector<float> x = {0.5f};
    const auto outputs = module.forward(from_blob(x.data(), {1}));
    ASSERT_TRUE(outputs.ok()) << coreml_delegate::last_error();
    EXPECT_NEAR(outputs->at(0).toTensor().const_data_ptr<float>()[0], std::sin(0.5f), 1e-6f);
  }
}

TEST(ModuleTest, AStockProgramRuns) {
  Module module(path("stock_sin.pte"));
  std::vector<float> x = {-3, -1, 0, 0.5f, 1, 3};
  const auto outputs = module.forward(from_blob(x.data(), {2, 3}));
  ASSERT_TRUE(outputs.ok()) << coreml_delegate::last_error();
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(outputs->at(0).toTensor().const_data_ptr<float>()[i], std::sin(x[i]), 2e-3f);
  }
}

// The second method is three times the first without its relu, over one weight in named data.
TEST(ModuleTest, MethodsOfAStockProgramShareTheirWeights) {
  Module module(path("stock_shared_weights.pte"));
  std::vector<float> rows(5 * 64);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = std::sin(static_cast<float>(i));
  const auto forward = module.execute("forward", from_blob(rows.data(), {5, 64}));
  ASSERT_TRUE(forward.ok()) << coreml_delegate::last_error();
  const auto decode = module.execute("decode", from_blob(rows.data(), {1, 64}));
  ASSERT_TRUE(decode.ok()) << coreml_delegate::last_error();
  const float* first = forward->at(0).toTensor().const_data_ptr<float>();
  const float* second = decode->at(0).toTensor().const_data_ptr<float>();
  bool some_positive = false;
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_NEAR(first[i] * 3, std::max(second[i], 0.0f), 1e-2f) << i;
    some_positive = some_positive || first[i] > 0.1f;
  }
  EXPECT_TRUE(some_positive);
}

TEST(ModuleTest, LoadOptionsReachTheDelegate) {
  std::vector<float> x = {0.5f};
  {
    LoadOptionsBuilder options;
    options.setEngine("portable")
        .setThreads(1)
        .setComputeUnit(LoadOptionsBuilder::ComputeUnit::CPU_ONLY);
    LoadBackendOptionsMap map;
    ASSERT_EQ(map.set_options(options), Error::Ok);
    Module module(path("sin_float32.pte"));
    ASSERT_EQ(module.load(map), Error::Ok);
    EXPECT_TRUE(module.forward(from_blob(x.data(), {1})).ok()) << coreml_delegate::last_error();
  }
  LoadOptionsBuilder options;
  options.setEngine("absent");
  LoadBackendOptionsMap map;
  ASSERT_EQ(map.set_options(options), Error::Ok);
  Module module(path("sin_float32.pte"));
  ASSERT_EQ(module.load(map), Error::Ok);
  EXPECT_EQ(module.load_method("forward"), Error::NotFound);
  EXPECT_THAT(coreml_delegate::last_error(), HasSubstr("absent"));
}

TEST(ModuleTest, AWrongTensorIsRefused) {
  Module module(path("sin_float32.pte"));
  std::vector<float> x = {1, 2};
  EXPECT_FALSE(module.forward(from_blob(x.data(), {2})).ok());
}

TEST(ModuleTest, EtdumpHasTheEnginesMeasurements) {
  auto tracer = std::make_unique<executorch::etdump::ETDumpGen>();
  executorch::etdump::ETDumpGen* dump = tracer.get();
  Module module(path("sin_float32.pte"), Module::LoadMode::File, std::move(tracer));
  std::vector<float> x = {0.5f};
  ASSERT_TRUE(module.forward(from_blob(x.data(), {1})).ok()) << coreml_delegate::last_error();
  const executorch::etdump::ETDumpResult result = dump->get_etdump_data();
  ASSERT_NE(result.buf, nullptr);
  const std::string bytes(static_cast<const char*>(result.buf), result.size);
  EXPECT_THAT(bytes, HasSubstr("execute main"));
  std::free(result.buf);
}

}  // namespace
