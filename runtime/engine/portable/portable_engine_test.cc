// What is the portable engine's own, beside the conformance suite.

#include "runtime/engine/portable/portable_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/cpu_features.h"
#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/event_sink.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PortableEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> engine_ = portable::make_portable_engine();
};

TEST_F(PortableEngineTest, IsRegistered) {
  const Result<Engine*> engine = find_engine("portable");
  ASSERT_TRUE(engine.ok()) << engine.status().to_string();
  EXPECT_EQ((*engine)->name(), "portable");
  EXPECT_EQ(*find_engine(""), *engine);
}

TEST_F(PortableEngineTest, FingerprintHoldsWhatCompiledFoldersDependOn) {
  const std::string fingerprint = engine_->fingerprint();
  EXPECT_THAT(fingerprint, HasSubstr("openvino=2026."));
  EXPECT_THAT(fingerprint, HasSubstr("translation="));
  // With the limit in force: what was compiled under one is not served under another.
  EXPECT_THAT(fingerprint, HasSubstr(";cpu=" + cpu_fingerprint(detect_cpu_features())));
}

TEST_F(PortableEngineTest, CompiledModelsOfCoreMlAreUnsupported) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  EXPECT_TRUE(
      fails_with(engine_->load_source({ModelKind::kCompiled, &files, "x.mlmodelc"}, {}).status(),
                 StatusCode::kUnsupported, "x.mlmodelc"));
  EXPECT_TRUE(fails_with(engine_->describe({ModelKind::kPackage, nullptr, "nothing"}).status(),
                         StatusCode::kInvalidArgument, "nothing"));
}

TEST_F(PortableEngineTest, TheNumericModeIsPartOfACompiledFolder) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  const TemporaryFolder folder;
  LoadOptions half;
  half.numeric_mode = NumericMode::kFloat16;
  ASSERT_TRUE(engine_->compile({ModelKind::kPackage, &files, "add"}, folder.path(), half).ok());
  EXPECT_TRUE(engine_->load(folder.path(), half).ok());
  EXPECT_TRUE(fails_with(engine_->load(folder.path(), {}).status(), StatusCode::kFailedPrecondition,
                         "numeric_mode \"float16\""));
}

// Compute units and threads say how a compiled form is executed: they must not make another one.
TEST_F(PortableEngineTest, TheRequestNamesWhatTheCompiledFormDependsOn) {
  const CompileRequest plain = engine_->plan({}, {}).value();
  EXPECT_EQ(plain.attributes.at("engine"), "portable");
  EXPECT_EQ(plain.attributes.at("fingerprint"), engine_->fingerprint());
  EXPECT_EQ(plain.attributes.at("numeric_mode"), "float32");
  EXPECT_FALSE(plain.attributes.contains("compute_units"));
  EXPECT_FALSE(plain.attributes.contains("threads"));
  const CompileRequest cpu = engine_->plan({}, {.compute_units = ComputeUnits::kCpuOnly}).value();
  EXPECT_EQ(cpu.text, plain.text);
  EXPECT_EQ(cpu.load_text, plain.load_text);
  const CompileRequest threads = engine_->plan({}, {.threads = 1}).value();
  EXPECT_EQ(threads.text, plain.text);
  EXPECT_NE(threads.load_text, plain.load_text);
  EXPECT_NE(engine_->plan({}, {.numeric_mode = NumericMode::kFloat16})->text, plain.text);
  EXPECT_NE(engine_->plan({}, {.function_name = "other"})->text, plain.text);

  // A folder compiled for one number of threads is loaded with another.
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  const TemporaryFolder folder;
  ASSERT_TRUE(
      engine_->compile({ModelKind::kPackage, &files, "add"}, folder.path(), {.threads = 1}).ok());
  EXPECT_TRUE(engine_->load(folder.path(), LoadOptions{.threads = 2}).ok());
}

// In float16 mode a sum leaves the range of a half as it does on a device; in float32 mode only the
// border rounds.
TEST_F(PortableEngineTest, NumericModes) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("functions");
  for (const NumericMode mode : {NumericMode::kFloat32, NumericMode::kFloat16}) {
    LoadOptions options;
    options.numeric_mode = mode;
    const std::unique_ptr<Model> model =
        *engine_->load_source({ModelKind::kPackage, &files, "functions"}, options);
    const std::unique_ptr<State> state = *model->make_state();
    // acc = -60000; total = acc + 2 * 40000, where 2 * 40000 overflows a half.
    ASSERT_TRUE(
        state->write("acc", make_bytes(DataType::kFloat16, std::vector<double>(4, -60000))).ok());
    std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
    ASSERT_TRUE(execute(*model,
                        {make_tensor(DataType::kFloat16, {4}, std::vector<double>(4, 40000))},
                        outputs, {.state = state.get(), .events = nullptr})
                    .ok());
    EXPECT_THAT(outputs[0].numbers(), Each(mode == NumericMode::kFloat32 ? 20000 : INFINITY));
  }
}

class Timings : public EventSink {
 public:
  bool wants_operation_timings() const override { return true; }
  bool wants_intermediate_values() const override { return values_wanted; }
  void on_timing(const TimingEvent& event) override {
    if (event.kind == EventKind::kExecute) execute_ns = event.end_ns - event.start_ns;
    if (event.kind == EventKind::kLoad) ++loads;
    if (event.kind != EventKind::kOperation) return;
    types.insert(std::string(event.type));
    operations_ns += event.end_ns - event.start_ns;
    ++operations;
  }
  void on_intermediate_value(std::string_view, std::string_view, const ConstTensorView&) override {
    ++values;
  }
  bool values_wanted = false;
  std::set<std::string> types;
  int values = 0;
  int loads = 0;
  uint64_t operations = 0;
  uint64_t operations_ns = 0;
  uint64_t execute_ns = 0;
};

// With a profiler attached the stock delegate failed where it could not profile.
TEST_F(PortableEngineTest, AFolderIsProfiledAndExecutesWithoutTheValuesItLost) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("scalar");
  const TemporaryFolder folder;
  ASSERT_TRUE(engine_->compile({ModelKind::kPackage, &files, "scalar"}, folder.path(), {}).ok());
  const std::unique_ptr<Model> model = *engine_->load(folder.path(), {});
  EXPECT_FALSE(model->offers_intermediate_values());
  Timings timings;
  timings.values_wanted = true;
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {3}),
                                 make_output(DataType::kFloat32, {})};
  ASSERT_TRUE(execute(*model,
                      {make_tensor(DataType::kFloat32, {1}, {2}),
                       make_tensor(DataType::kFloat32, {3}, {1, 2, 3})},
                      outputs, {.state = nullptr, .events = &timings})
                  .ok());
  EXPECT_THAT(outputs[1].numbers(), ElementsAre(12));
  EXPECT_THAT(timings.types, Contains("mul"));
  EXPECT_THAT(timings.types, Contains("reduce_sum"));
  EXPECT_EQ(timings.values, 0);
}

// OpenVINO tells means over all executions; the first, which prepares weights, is the slowest.
TEST_F(PortableEngineTest, TimesAreThoseOfTheExecutionAndNotMeans) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("chain");
  const std::unique_ptr<Model> model =
      *engine_->load_source({ModelKind::kPackage, &files, "chain"}, {.threads = 1});
  std::vector<TensorSpec> specs = model->description().inputs;
  std::vector<Tensor> inputs;
  for (const TensorSpec& spec : specs) {
    std::vector<int64_t> shape;
    int64_t elements = 1;
    for (const Dimension& extent : spec.shape) {
      shape.push_back(extent.min);
      elements *= extent.min;
    }
    inputs.push_back(
        make_tensor(spec.dtype, shape, std::vector<double>(static_cast<size_t>(elements), 1)));
  }
  for (uint64_t execution = 1; execution <= 10; ++execution) {
    std::vector<Tensor> outputs;
    for (const TensorSpec& spec : model->description().outputs) {
      std::vector<int64_t> shape;
      for (const Dimension& extent : spec.shape) shape.push_back(extent.min);
      outputs.push_back(make_output(spec.dtype, shape));
    }
    Timings timings;
    ASSERT_TRUE(execute(*model, inputs, outputs, {.state = nullptr, .events = &timings}).ok());
    EXPECT_EQ(timings.loads, execution == 1 ? 1 : 0) << "the profiled graph is loaded once";
    ASSERT_GT(timings.operations, 0u);
    // Known to `execution` microseconds each.
    EXPECT_LE(timings.operations_ns, timings.execute_ns + timings.operations * execution * 1000);
  }
}

TEST_F(PortableEngineTest, ThreadsAreAnOption) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  for (const int32_t threads : {0, 1, 2}) {
    LoadOptions options;
    options.threads = threads;
    EXPECT_TRUE(engine_->load_source({ModelKind::kPackage, &files, "add"}, options).ok());
  }
}

}  // namespace
}  // namespace coreml_delegate::engine
