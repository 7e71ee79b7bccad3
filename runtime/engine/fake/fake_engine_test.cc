#include "runtime/engine/fake/fake_engine.h"

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/fake/fake_program.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FakeProgramTest, LinesBecomeFunctions) {
  const auto functions = parse_fake_program(
      "# two\nfunction a\n  input x float32 [2, 1..8, 3..]\nstate s float16 [4]\n"
      "output y float32 [2, 1..8, 3..] = identity x\n\nfunction b\noutput w int8 [] = weight "
      "w.bin\n");
  ASSERT_TRUE(functions.ok()) << functions.status().to_string();
  ASSERT_EQ(functions->size(), 2u);
  EXPECT_EQ((*functions)[0].inputs[0].to_string(), "x: float32[2, 1..8, 3..]");
  EXPECT_EQ((*functions)[0].states[0].dtype, DataType::kFloat16);
  EXPECT_EQ((*functions)[0].outputs[0].operation, FakeOperation::kIdentity);
  EXPECT_THAT((*functions)[1].outputs[0].operands, ElementsAre("w.bin"));
  EXPECT_TRUE((*functions)[1].outputs[0].spec.shape.empty());
}

TEST(FakeProgramTest, ABadLineIsNamed) {
  for (const char* text :
       {"", "input x float32 [1]", "function", "function f\ninput x float31 [1]",
        "function f\ninput x float32 1", "function f\ninput x float32 [a]",
        "function f\ninput x float32 [3..2]", "function f\noutput y float32 [1] = fly x",
        "function f\noutput y float32 [1] = identity x", "function f\nstate s float32 [1..2]",
        "function f\nwhat x float32 [1]"}) {
    EXPECT_EQ(parse_fake_program(text).status().code(), StatusCode::kCorruptData) << text;
  }
  EXPECT_THAT(parse_fake_program("function f\ninput x float31 [1]").status().message(),
              HasSubstr("line 2"));
}

constexpr char kCounter[] =
    "function main\ninput x float32 [2]\nstate s float32 [2]\noutput y float32 [2] = accumulate s "
    "x\n";

class FakeEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Model> load(const char* program) {
    tree_ = std::make_unique<inmemoryfs::InMemoryFileSystem>(*make_fake_package(program));
    auto model = engine_.load_source({.files = tree_.get(), .name = "toy"}, {});
    EXPECT_TRUE(model.ok()) << model.status().to_string();
    return *std::move(model);
  }
  // Executes the counter with x = (1, 2).
  Status step(Model& model, State* state, EventSink* events = nullptr) {
    std::vector<int64_t> shape = {2};
    const std::vector<int64_t> strides = {1};
    const float x[2] = {1, 2};
    const ConstTensorView input{DataType::kFloat32, shape, strides, x};
    TensorView output{DataType::kFloat32, shape, {}, y_, sizeof(y_)};
    return model.execute({&input, 1}, {&output, 1}, {.state = state, .events = events});
  }

  FakeEngine engine_;
  std::unique_ptr<inmemoryfs::InMemoryFileSystem> tree_;
  float y_[2] = {};
};

TEST_F(FakeEngineTest, StatesAreKeptCopiedWrittenAndReset) {
  auto model = load(kCounter);
  const float start[2] = {10, 20};
  const InitialStateValue initial{"s", Bytes(std::as_bytes(std::span(start)))};
  auto state = *model->make_state({&initial, 1});
  ASSERT_TRUE(step(*model, state.get()).ok());
  EXPECT_THAT(y_, ElementsAre(11, 22));
  auto copy = *state->copy();
  ASSERT_TRUE(step(*model, state.get()).ok());
  EXPECT_THAT(y_, ElementsAre(12, 24));
  float read[2] = {};
  ASSERT_TRUE(copy->read("s", std::as_writable_bytes(std::span(read))).ok());
  EXPECT_THAT(read, ElementsAre(11, 22));
  ASSERT_TRUE(copy->write("s", std::as_bytes(std::span(start))).ok());
  ASSERT_TRUE(state->reset().ok());
  ASSERT_TRUE(step(*model, state.get()).ok());
  EXPECT_THAT(y_, ElementsAre(11, 22));
  EXPECT_EQ(copy->read("t", {}).code(), StatusCode::kNotFound);
  EXPECT_EQ(copy->read("s", {}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(step(*model, nullptr).code(), StatusCode::kInvalidArgument);
}

TEST_F(FakeEngineTest, AFailureAtTheEndWritesNothing) {
  auto model = load(kCounter);
  auto state = *model->make_state({});
  engine_.controls().fail_next(FakeStage::kExecuteEnd, engine_failure("no"));
  EXPECT_EQ(step(*model, state.get()).code(), StatusCode::kEngineFailure);
  EXPECT_THAT(y_, ElementsAre(0, 0));
  ASSERT_TRUE(step(*model, state.get()).ok());
  EXPECT_THAT(y_, ElementsAre(1, 2));
  EXPECT_EQ(engine_.controls().count(FakeStage::kExecute), 2);
}

TEST_F(FakeEngineTest, AStateInUseIsRefused) {
  auto model = load(kCounter);
  auto state = *model->make_state({});
  Latch latch;
  engine_.controls().set_hook(FakeStage::kExecuteEnd, [&] { latch.wait(); });
  std::thread first([&] { EXPECT_TRUE(step(*model, state.get()).ok()); });
  latch.wait_for_waiters(1);
  EXPECT_EQ(step(*model, state.get()).code(), StatusCode::kFailedPrecondition);
  latch.open();
  first.join();
  EXPECT_EQ(engine_.controls().most_concurrent_executions(), 2);
}

TEST_F(FakeEngineTest, CompiledFoldersAreLoadedAndForeignOnesRefused) {
  load(kCounter);
  FileSystem& files = real_file_system();
  const std::string folder =
      *files.make_unique_directory(temporary_directory(), "fake_engine_test");
  ASSERT_TRUE(engine_.compile({.files = tree_.get(), .name = "toy"}, folder, {}).ok());
  auto model = engine_.load(folder, {});
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ((*model)->description().name, "main");
  FakeEngine newer({.name = "fake", .fingerprint = "fake 2"});
  EXPECT_EQ(newer.load(folder, {}).status().code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(files.remove_tree(join_path(folder, "model")).ok());
  EXPECT_EQ(engine_.load(folder, {}).status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(engine_.load(join_path(folder, "absent"), {}).status().code(),
            StatusCode::kCorruptData);
  ASSERT_TRUE(files.remove_tree(folder).ok());
}

TEST_F(FakeEngineTest, DescribesCancelsAndReports) {
  load(kCounter);
  const auto descriptions = engine_.describe({.files = tree_.get(), .name = "toy"});
  ASSERT_TRUE(descriptions.ok());
  EXPECT_EQ((*descriptions)[0].states[0].to_string(), "s: float32[2]");
  CancellationToken token;
  token.cancel();
  EXPECT_EQ(engine_.load_source({.files = tree_.get(), .name = "toy"}, {.cancellation = &token})
                .status()
                .code(),
            StatusCode::kCancelled);
  EXPECT_EQ(engine_.load_source({.files = tree_.get(), .name = "toy"}, {.function_name = "absent"})
                .status()
                .code(),
            StatusCode::kNotFound);
  struct Sink : EventSink {
    std::vector<std::string> names;
    bool wants_operation_timings() const override { return true; }
    void on_timing(const TimingEvent& event) override { names.emplace_back(event.name); }
  } sink;
  auto model = load(kCounter);
  auto state = *model->make_state({});
  ASSERT_TRUE(step(*model, state.get(), &sink).ok());
  EXPECT_THAT(sink.names, ElementsAre("y", "main"));
}

}  // namespace
}  // namespace coreml_delegate::engine
