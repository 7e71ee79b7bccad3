#include "runtime/delegate/edge.h"

#include <executorch/runtime/core/result.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "base/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/coreml_backend.h"
#include "runtime/delegate/error_map.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/delegate/testing_support.h"

namespace coreml_delegate {
namespace {

using engine::FakeStage;
using executorch::aten::ScalarType;
using executorch::runtime::Error;
using ::testing::HasSubstr;

void drop_message(LogLevel, const char*, int, std::string_view) {}

class EdgeTest : public ::testing::Test {
 protected:
  EdgeTest() { set_log_sink(drop_message); }
  ~EdgeTest() override { set_log_sink(nullptr); }
};

TEST_F(EdgeTest, GivesWhatTheBodyReturns) {
  EXPECT_EQ(at_the_edge("add", [] { return Error::NotFound; }), Error::NotFound);
  EXPECT_EQ(at_the_edge("add", [] { return uint32_t{7}; }), 7u);
  EXPECT_EQ(*at_the_edge("add", [] { return executorch::runtime::Result<int>(3); }), 3);
  EXPECT_STREQ(at_the_edge(
                   "add", [] { return "text"; }, "otherwise"),
               "text");
}

TEST_F(EdgeTest, MemoryThatRanOutHasACodeOfItsOwn) {
  EXPECT_EQ(at_the_edge("load", []() -> Error { throw std::bad_alloc(); }),
            Error::MemoryAllocationFailed);
  EXPECT_THAT(last_error_message(), HasSubstr("the delegate could not load"));
  EXPECT_THAT(last_error_message(), HasSubstr("memory ran out"));
}

TEST_F(EdgeTest, EveryOtherExceptionIsInternal) {
  EXPECT_EQ(at_the_edge("load", []() -> Error { throw std::length_error("too long"); }),
            Error::Internal);
  EXPECT_THAT(last_error_message(), HasSubstr("too long"));
  EXPECT_EQ(at_the_edge("load", []() -> uint32_t { throw 3; }),
            static_cast<uint32_t>(Error::Internal));
  EXPECT_EQ(at_the_edge("load", []() -> executorch::runtime::Result<int> { throw 3; }).error(),
            Error::Internal);
  EXPECT_STREQ(at_the_edge(
                   "load", []() -> const char* { throw 3; }, "otherwise"),
               "otherwise");
}

// The backend as ExecuTorch calls it, while the engine throws.
TEST_F(EdgeTest, NoExceptionOfAnEngineReachesExecuTorch) {
  engine::FakeControls& engine = testing::registered_fake_engine().controls();
  CoreMLBackend backend(std::make_unique<InProcessModelProvider>());
  executorch::runtime::BackendOptions<1> options;
  (void)options.set_option("engine", "fake");
  executorch::runtime::BackendOptionContext option_context;
  ASSERT_EQ(backend.set_option(option_context, options.view()), Error::Ok);

  const std::string payload = testing::stock_payload(
      "function main\ninput x float32 [2]\noutput y float32 [2] = add x x\n", {"x"}, {"y"});
  const auto init = [&] {
    executorch::runtime::FreeableBuffer processed(payload.data(), payload.size(), nullptr);
    executorch::runtime::BackendInitContext context(nullptr, nullptr, "forward");
    return backend.init(context, &processed, {});
  };
  engine.set_hook(FakeStage::kLoad, [] { throw std::bad_alloc(); });
  EXPECT_EQ(init().error(), Error::MemoryAllocationFailed);
  EXPECT_THAT(last_error_message(), HasSubstr("memory ran out"));
  engine.set_hook(FakeStage::kLoad, [] { throw std::length_error("too long"); });
  EXPECT_EQ(init().error(), Error::Internal);
  engine.set_hook(FakeStage::kLoad, nullptr);
  const auto handle = init();
  ASSERT_TRUE(handle.ok()) << last_error_message();

  auto x = testing::TestTensor::of<float>(ScalarType::Float, {2}, {1, 2});
  testing::TestTensor y(ScalarType::Float, {2});
  const auto execute = [&] {
    executorch::runtime::BackendExecutionContext context;
    testing::Arguments arguments = {x.get(), &y};
    return backend.execute(context, *handle, arguments.span());
  };
  engine.set_hook(FakeStage::kExecute, [] { throw std::bad_alloc(); });
  EXPECT_EQ(execute(), Error::MemoryAllocationFailed);
  engine.set_hook(FakeStage::kExecute, nullptr);
  EXPECT_EQ(execute(), Error::Ok);
  EXPECT_THAT(y.values<float>(), ::testing::ElementsAre(2, 4));
  backend.destroy(*handle);
}

}  // namespace
}  // namespace coreml_delegate
