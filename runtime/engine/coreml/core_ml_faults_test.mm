// Core ML that fails, raises, hangs or gives nothing at all; compilations that are cancelled or
// take too long; and what is left behind: nothing.

#import <Foundation/Foundation.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <thread>

#include "base/file.h"
#include "gmock/gmock.h"
#include "runtime/engine/coreml/testing_engine.h"

namespace coreml_delegate::engine::coreml {
namespace {

using core_ml::Fault;
using core_ml::Stage;
using ::testing::Each;
using ::testing::ElementsAre;

// Our own entries in the folder for temporary files.
std::set<std::string> temporary_entries() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(temporary_directory())) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("coreml_delegate_model") || name.starts_with("core_ml_compiled"))
      names.insert(name);
  }
  return names;
}

template <typename Condition>
bool eventually(const Condition& condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

class CoreMLFaultsTest : public CoreMLEngineTestBase {
 protected:
  // Other tests may use the machine's folder for temporary files meanwhile.
  CoreMLFaultsTest() { setenv("TMPDIR", temporary_.path().c_str(), 1); }
  ~CoreMLFaultsTest() override { unsetenv("TMPDIR"); }

  Status load_status(const std::string& name, const LoadOptions& options = {}) {
    const inmemoryfs::InMemoryFileSystem files = read_test_model(name);
    return engine_->load_source({ModelKind::kPackage, &files, name}, options).status();
  }

 private:
  const TemporaryFolder temporary_;
};

// An NSException, an NSError and neither: each is a Status that says what was being done to what,
// at every stage.
TEST_F(CoreMLFaultsTest, NothingThatCoreMLThrowsEscapes) {
  for (const Fault fault : {Fault::kException, Fault::kError, Fault::kNeither}) {
    for (const Stage stage : {Stage::kCompile, Stage::kLoad}) {
      core_ml::fail_next(stage, fault);
      EXPECT_TRUE(fails_with(load_status("add"), StatusCode::kEngineFailure, "add"));
    }
    const std::unique_ptr<Model> model = load("add");
    ASSERT_NE(model, nullptr);
    core_ml::fail_next(Stage::kPredict, fault);
    std::vector<Tensor> outputs = add_outputs();
    EXPECT_TRUE(
        fails_with(execute(*model, add_inputs(), outputs), StatusCode::kEngineFailure, "main"));
    EXPECT_TRUE(is_untouched(outputs[0]));
    ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
    EXPECT_THAT(outputs[0].numbers(), ElementsAre(11, 22, 33, 44, 55, 66));

    const std::unique_ptr<Model> stateful = load("state");
    core_ml::fail_next(Stage::kNewState, fault == Fault::kError ? Fault::kNeither : fault);
    EXPECT_TRUE(fails_with(stateful->make_state().status(), StatusCode::kEngineFailure, ""));
    const std::unique_ptr<State> state = *stateful->make_state();
    std::vector<std::byte> bytes(8);
    core_ml::fail_next(Stage::kStateAccess, fault);
    EXPECT_TRUE(fails_with(state->read("acc", bytes), StatusCode::kEngineFailure, "acc"));
    core_ml::fail_next(Stage::kStateAccess, fault);
    EXPECT_TRUE(fails_with(state->write("acc", bytes), StatusCode::kEngineFailure, "acc"));
    core_ml::fail_next(Stage::kStateAccess, fault);
    EXPECT_FALSE(state->reset().ok());
    core_ml::fail_next(Stage::kStateAccess, fault);
    EXPECT_FALSE(state->copy().ok());
    // The state is free again.
    EXPECT_TRUE(state->read("acc", bytes).ok());
  }
}

TEST_F(CoreMLFaultsTest, AFailedStatefulPredictionSaysThatItMayHaveChangedTheState) {
  const std::unique_ptr<Model> model = load("state");
  const std::unique_ptr<State> state = *model->make_state();
  for (const Fault fault : {Fault::kException, Fault::kError}) {
    core_ml::fail_next(Stage::kPredict, fault);
    std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
    EXPECT_TRUE(
        fails_with(execute(*model, {four(1)}, outputs, {.state = state.get(), .events = nullptr}),
                   StatusCode::kEngineFailure, "may have changed the state"));
  }
}

// A state belongs to one call at a time: another is refused while a prediction is under way, not
// queued behind it.
TEST_F(CoreMLFaultsTest, AStateInUseIsRefused) {
  const std::unique_ptr<Model> model = load("state");
  const std::unique_ptr<State> state = *model->make_state();
  const ExecuteOptions options{.state = state.get(), .events = nullptr};
  core_ml::fail_next(Stage::kPredict, Fault::kHang);
  const int64_t before = core_ml::counters().predictions;
  std::thread first([&] {
    std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
    EXPECT_TRUE(execute(*model, {four(1)}, outputs, options).ok());
  });
  ASSERT_TRUE(eventually([&] { return core_ml::counters().predictions > before; }));
  std::vector<std::byte> bytes(8);
  EXPECT_TRUE(fails_with(state->read("acc", bytes), StatusCode::kFailedPrecondition, "in use"));
  EXPECT_TRUE(fails_with(state->write("acc", bytes), StatusCode::kFailedPrecondition, "in use"));
  EXPECT_TRUE(fails_with(state->reset(), StatusCode::kFailedPrecondition, "in use"));
  EXPECT_TRUE(fails_with(state->copy().status(), StatusCode::kFailedPrecondition, "in use"));
  core_ml::reset_faults();
  first.join();
  EXPECT_TRUE(state->read("acc", bytes).ok());
}

// With an output of open shape the state is put back, and nothing has to be said.
TEST_F(CoreMLFaultsTest, AFailedPredictionWithAnOpenOutputPutsTheStateBack) {
  const std::unique_ptr<Model> model = load("state_range");
  const std::unique_ptr<State> state = *model->make_state();
  const std::vector<Tensor> inputs = {four(1), make_tensor(DataType::kFloat32, {2}, {1, 2})};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4}),
                                 make_output(DataType::kFloat32, {8})};
  const ExecuteOptions options{.state = state.get(), .events = nullptr};
  ASSERT_TRUE(execute(*model, inputs, outputs, options).ok());
  core_ml::fail_next(Stage::kPredict, Fault::kException);
  const Status status = execute(*model, inputs, outputs, options);
  EXPECT_TRUE(fails_with(status, StatusCode::kEngineFailure, "exception"));
  EXPECT_EQ(status.to_string().find("may have changed"), std::string::npos) << status.to_string();
  ASSERT_TRUE(execute(*model, inputs, outputs, options).ok());
  EXPECT_THAT(outputs[0].numbers(), Each(2));
}

// https://developer.apple.com/documentation/coreml/mlmodel/compilemodel(at:)-6442s: it cannot be
// stopped, so its result is thrown away.
TEST_F(CoreMLFaultsTest, ACompilationThatIsCancelledReturnsAtOnceAndLeavesNothing) {
  const std::set<std::string> before = temporary_entries();
  core_ml::fail_next(Stage::kCompile, Fault::kHang);
  CancellationToken token;
  LoadOptions options;
  options.cancellation = &token;
  std::future<Status> loading =
      std::async(std::launch::async, [&] { return load_status("add", options); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  token.cancel();
  EXPECT_EQ(loading.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  core_ml::reset_faults();
  EXPECT_TRUE(fails_with(loading.get(), StatusCode::kCancelled, "add"));
  EXPECT_TRUE(eventually([&] { return temporary_entries() == before; }));
}

TEST_F(CoreMLFaultsTest, ACompilationThatTakesTooLongFails) {
  const std::set<std::string> before = temporary_entries();
  CoreMLEngineOptions options;
  options.compile_timeout = std::chrono::milliseconds(50);
  engine_ = make_core_ml_engine(options);
  core_ml::fail_next(Stage::kCompile, Fault::kHang);
  EXPECT_TRUE(fails_with(load_status("add"), StatusCode::kResourceExhausted, "50 ms"));
  core_ml::reset_faults();
  EXPECT_TRUE(eventually([&] { return temporary_entries() == before; }));
}

TEST_F(CoreMLFaultsTest, EstimatesCanBeCancelledAndHaveATimeout) {
  const TemporaryFolder folder;
  const inmemoryfs::InMemoryFileSystem package = read_test_model("scalar");
  ASSERT_TRUE(engine_->compile({ModelKind::kPackage, &package, "scalar"}, folder.path(), {}).ok());
  core_ml::fail_next(Stage::kComputePlan, Fault::kHang);
  EXPECT_TRUE(
      fails_with(estimate_operations(folder.path(), {}, std::chrono::milliseconds(50)).status(),
                 StatusCode::kResourceExhausted, "50 ms"));
  core_ml::reset_faults();
  core_ml::fail_next(Stage::kComputePlan, Fault::kHang);
  CancellationToken token;
  LoadOptions options;
  options.cancellation = &token;
  std::future<Status> estimating = std::async(
      std::launch::async, [&] { return estimate_operations(folder.path(), options).status(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  token.cancel();
  EXPECT_EQ(estimating.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  core_ml::reset_faults();
  EXPECT_TRUE(fails_with(estimating.get(), StatusCode::kCancelled, "plan"));
  EXPECT_TRUE(estimate_operations(folder.path(), {}).ok());
}

TEST_F(CoreMLFaultsTest, NoTemporaryFilesAreLeft) {
  const std::set<std::string> before = temporary_entries();
  {
    const std::unique_ptr<Model> model = load("weights");
    EXPECT_NE(temporary_entries(), before) << "the model's folder lives as long as the model";
    (void)load_status("unsupported");
    core_ml::fail_next(Stage::kLoad, Fault::kException);
    (void)load_status("add");
    const TemporaryFolder folder;
    const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
    EXPECT_TRUE(engine_->compile({ModelKind::kPackage, &files, "add"}, folder.path(), {}).ok());
  }
  EXPECT_TRUE(eventually([&] { return temporary_entries() == before; }));
}

// --- Memory ---

// Resident memory now; 0 under AddressSanitizer, which keeps freed memory for a while and looks for
// leaks itself.
size_t resident_bytes() {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  return 0;
#endif
#endif
  size_t pages = 0;
  size_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * 4096;
}

// Memory grew with every prediction where no autorelease pool surrounded it. The outer pool here is
// never drained while the engine works.
TEST_F(CoreMLFaultsTest, EveryCallDrainsItsOwnPool) {
  NSAutoreleasePool* const outer = [[NSAutoreleasePool alloc] init];
  const int64_t at_start = core_ml::live_objects();
  {
    const std::unique_ptr<Model> model = load("add");
    const std::unique_ptr<Model> stateful = load("state");
    const std::unique_ptr<State> state = *stateful->make_state();
    ASSERT_TRUE(eventually([&] { return core_ml::live_objects() > at_start; }));
    std::vector<Tensor> outputs = add_outputs();
    std::vector<Tensor> totals = {make_output(DataType::kFloat16, {4})};
    std::vector<std::byte> bytes(8);
    ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
    const int64_t before = core_ml::live_objects();
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
      ASSERT_TRUE(
          execute(*stateful, {four(1)}, totals, {.state = state.get(), .events = nullptr}).ok());
      ASSERT_TRUE(state->read("acc", bytes).ok());
      ASSERT_TRUE(state->reset().ok());
      ASSERT_TRUE(state->copy().ok());
      core_ml::fail_next(Stage::kPredict, Fault::kException);
      ASSERT_FALSE(execute(*model, add_inputs(), outputs).ok());
      EXPECT_EQ(core_ml::live_objects(), before) << "after round " << i;
    }
  }
  EXPECT_TRUE(eventually([&] { return core_ml::live_objects() == at_start; }))
      << core_ml::live_objects() - at_start << " objects outlived their models";
  [outer release];
}

// 10,000 predictions and as many loads and unloads with COREML_DELEGATE_FULL_TESTS=1, fewer by
// default.
TEST_F(CoreMLFaultsTest, ManyPredictionsAndLoadsLeakNothing) {
  const char* const full = std::getenv("COREML_DELEGATE_FULL_TESTS");
  const bool is_full = full != nullptr && std::string(full) == "1";
  const int predictions = 10000;
  const int loads = is_full ? 10000 : 100;
  const std::set<std::string> entries = temporary_entries();
  const int64_t at_start = core_ml::live_objects();
  const TemporaryFolder folder;
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  ASSERT_TRUE(engine_->compile({ModelKind::kPackage, &files, "add"}, folder.path(), {}).ok());
  // The thread that compiled still lets go of what it had.
  ASSERT_TRUE(eventually(
      [&] { return core_ml::live_objects() == at_start && temporary_entries() == entries; }));

  size_t settled = 0;
  for (int i = 0; i < loads; ++i) {
    // Memory is compared with what it was when caches and arenas had filled.
    if (i == loads / 2) settled = resident_bytes();
    auto model = engine_->load(folder.path(), {});
    ASSERT_TRUE(model.ok()) << model.status().to_string();
    std::vector<Tensor> outputs = add_outputs();
    ASSERT_TRUE(execute(**model, add_inputs(), outputs).ok());
  }
  const size_t after_loads = resident_bytes();
  EXPECT_LT(after_loads, settled + (16u << 20)) << "loads and unloads";
  EXPECT_EQ(core_ml::live_objects(), at_start);

  {
    auto model = engine_->load(folder.path(), {});
    ASSERT_TRUE(model.ok());
    const std::vector<Tensor> inputs = add_inputs();
    std::vector<Tensor> outputs = add_outputs();
    for (int i = 0; i < predictions; ++i) {
      if (i == predictions / 2) settled = resident_bytes();
      ASSERT_TRUE(execute(**model, inputs, outputs).ok());
    }
    EXPECT_LT(resident_bytes(), settled + (4u << 20)) << "predictions";
  }
  EXPECT_EQ(core_ml::live_objects(), at_start);
  EXPECT_EQ(temporary_entries(), entries);
  RecordProperty("predictions", predictions);
  RecordProperty("loads", loads);
}

}  // namespace
}  // namespace coreml_delegate::engine::coreml
