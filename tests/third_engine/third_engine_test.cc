// A third engine is its register.cc and its engine: nothing else of this project knows its name,
// and it passes the conformance suite, executes delegate calls, is kept in the store, and is the
// default where no other engine is.

#include <executorch/runtime/platform/runtime.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/coreml_backend.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/delegate/testing_support.h"
#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/fake/fake_engine.h"
#include "runtime/include/coreml_backend/coreml_backend_options.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_cache.h"

namespace coreml_delegate::engine {
namespace {

EngineUnderTest third() {
  return {.name = "third",
          .engine = std::make_unique<FakeEngine>(FakeEngineOptions{.name = "third"})};
}
INSTANTIATE_TEST_SUITE_P(Third, EngineTest, ::testing::Values(&third));

}  // namespace
}  // namespace coreml_delegate::engine

namespace coreml_delegate {
namespace {

using executorch::aten::ScalarType;
using executorch::backends::coreml::LoadOptionsBuilder;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::BackendOption;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using testing::TestTensor;

class ThirdEngineTest : public ::testing::Test {
 protected:
  ThirdEngineTest() : backend_(std::make_unique<InProcessModelProvider>()) {
    executorch::runtime::runtime_init();
  }

  // What the delegate computes of x = [1, 2].
  std::vector<float> run(LoadOptionsBuilder options) {
    const std::string payload = testing::stock_payload(
        "function main\ninput x float32 [2]\noutput y float32 [2] = add x x\n", {"x"}, {"y"});
    FreeableBuffer processed(payload.data(), payload.size(), nullptr);
    const auto specs = options.view();
    BackendInitContext context(nullptr, nullptr, "forward", nullptr, {specs.data(), specs.size()});
    const auto handle = backend_.init(context, &processed, {});
    EXPECT_TRUE(handle.ok()) << last_error();
    if (!handle.ok()) return {};
    const auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1.0f, 2.0f});
    TestTensor y(ScalarType::Float, {2});
    BackendExecutionContext execution;
    testing::Arguments arguments{x.get(), &y};
    EXPECT_EQ(backend_.execute(execution, handle.get(), arguments.span()), Error::Ok)
        << last_error();
    backend_.destroy(handle.get());
    return y.values<float>();
  }

  CoreMLBackend backend_;
};

TEST_F(ThirdEngineTest, IsListedAndTheDefaultWhereThereIsNoOther) {
  const Diagnostics found = diagnose();
  ASSERT_EQ(found.engines.size(), 1u);
  EXPECT_EQ(found.engines[0].name, "third");
  EXPECT_EQ(found.engines[0].fingerprint, "third 1");
  EXPECT_EQ(found.default_engine, "third");
  EXPECT_THAT(run({}), ::testing::ElementsAre(2, 4));
}

TEST_F(ThirdEngineTest, ExecutesWhatNamesItAndIsKeptInTheStore) {
  const engine::TemporaryFolder folder;
  LoadOptionsBuilder options;
  options.setEngine("third").setCacheDirectory(folder.path().c_str());
  EXPECT_THAT(run(options), ::testing::ElementsAre(2, 4));
  const auto entries = cache_list(folder.path());
  ASSERT_TRUE(entries.ok()) << last_error();
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_EQ(entries->front().attributes.at("engine"), "third");
  EXPECT_EQ(entries->front().attributes.at("fingerprint"), "third 1");
}

}  // namespace
}  // namespace coreml_delegate
