// What the conformance suite does not ask of the Core ML engine: layouts, backings, batches,
// functions, estimates, configuration.

#import <Foundation/Foundation.h>

#include <fstream>

#include "base/bytes.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/coreml/testing_engine.h"

namespace coreml_delegate::engine::coreml {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

class CoreMLEngineTest : public CoreMLEngineTestBase {};

// MLMultiArray.strides: https://developer.apple.com/documentation/coreml/mlmultiarray/strides
TEST_F(CoreMLEngineTest, ReadsInputsByTheirStrides) {
  const std::unique_ptr<Model> model = load("add");
  for (const std::vector<int64_t>& strides : {std::vector<int64_t>{1, 2}, {8, 1}, {8, 2}}) {
    std::vector<Tensor> inputs = add_inputs();
    inputs[0].strides = strides;
    inputs[0].bytes =
        make_bytes(DataType::kFloat32, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13});
    std::vector<double> expected = inputs[0].numbers();
    for (size_t i = 0; i < 6; ++i) expected[i] += 10 * static_cast<double>(i + 1);
    ASSERT_TRUE(model->accepts_strides(inputs[0].shape, strides));
    std::vector<Tensor> outputs = add_outputs();
    const Status status = execute(*model, inputs, outputs);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(outputs[0].numbers(), expected);
  }
}

TEST_F(CoreMLEngineTest, RefusesStridesThatOverlap) {
  const std::unique_ptr<Model> model = load("add");
  EXPECT_FALSE(model->accepts_strides(std::vector<int64_t>{2, 3}, std::vector<int64_t>{0, 1}));
  EXPECT_FALSE(model->accepts_strides(std::vector<int64_t>{2, 3}, std::vector<int64_t>{2, 1}));
  EXPECT_FALSE(model->accepts_strides(std::vector<int64_t>{2, 3}, std::vector<int64_t>{1}));
}

// https://developer.apple.com/documentation/coreml/mlpredictionoptions/outputbackings
TEST_F(CoreMLEngineTest, ResultsAreWrittenInPlaceInAnyLayout) {
  const std::unique_ptr<Model> model = load("add");
  for (const std::vector<int64_t>& strides : {std::vector<int64_t>{}, {3, 1}, {1, 2}, {8, 2}}) {
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3}, 56)};
    outputs[0].strides = strides;
    const core_ml::Counters before = core_ml::counters();
    ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
    EXPECT_THAT(outputs[0].numbers(), ElementsAre(11, 22, 33, 44, 55, 66));
    EXPECT_EQ(core_ml::counters().backed_outputs, before.backed_outputs + 1);
    EXPECT_EQ(core_ml::counters().allocated_outputs, before.allocated_outputs);
    // What lies between and behind the elements is the caller's.
    size_t untouched = 0;
    for (size_t i = 0; i < 14; ++i) {
      untouched += std::memcmp(outputs[0].bytes.data() + 4 * i, "\xA5\xA5\xA5\xA5", 4) == 0 ? 1 : 0;
    }
    EXPECT_EQ(untouched, 8u);
  }
}

// "The framework may not use the specified backing object ... compare the output prediction and the
// backing object by object identity."
TEST_F(CoreMLEngineTest, CopiesWhereCoreMLTakesNoBacking) {
  const std::unique_ptr<Model> model = load("add");
  core_ml::ignore_backings(true);
  for (const std::vector<int64_t>& strides : {std::vector<int64_t>{}, {1, 2}, {8, 2}}) {
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3}, 56)};
    outputs[0].strides = strides;
    ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
    EXPECT_THAT(outputs[0].numbers(), ElementsAre(11, 22, 33, 44, 55, 66));
  }
}

// The stock delegate gave zero-copy outputs up for good after one failure, and for every model with
// an output of open shape.
TEST_F(CoreMLEngineTest, AFailureDoesNotGiveUpBackings) {
  const std::unique_ptr<Model> model = load("add");
  std::vector<Tensor> outputs = add_outputs();
  core_ml::fail_next(core_ml::Stage::kPredict, core_ml::Fault::kError);
  EXPECT_FALSE(execute(*model, add_inputs(), outputs).ok());
  const core_ml::Counters before = core_ml::counters();
  ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
  EXPECT_EQ(core_ml::counters().backed_outputs, before.backed_outputs + 1);
}

// A stride of the shape passed in holds for that shape only.
TEST_F(CoreMLEngineTest, AnOutputOfOpenShapeInALayoutOfItsOwn) {
  const std::unique_ptr<Model> model = load("range");
  const std::vector<Tensor> inputs = {make_tensor(DataType::kFloat32, {2, 3}, {1, 2, 3, 4, 5, 6}),
                                      make_tensor(DataType::kFloat32, {2, 3}, {1, 1, 1, 1, 1, 1})};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3}, 56)};
  outputs[0].strides = {8, 1};
  const Status status = execute(*model, inputs, outputs);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(2, 3, 4, 5, 6, 7));
  outputs = {make_output(DataType::kFloat32, {3, 3}, 96)};
  outputs[0].strides = {8, 1};
  EXPECT_TRUE(
      fails_with(execute(*model, inputs, outputs), StatusCode::kInvalidArgument, "laid out"));
  EXPECT_TRUE(is_untouched(outputs[0]));
  // The last row begins where the memory still reaches, and ends behind it.
  outputs = {make_output(DataType::kFloat32, {2, 3})};
  outputs[0].strides = {8, 1};
  EXPECT_TRUE(fails_with(execute(*model, inputs, outputs), StatusCode::kInvalidArgument, "fit"));
  EXPECT_TRUE(is_untouched(outputs[0]));
}

// https://developer.apple.com/documentation/coreml/mlmodel/predictions(from:options:)
TEST_F(CoreMLEngineTest, ExecutesABatch) {
  const std::unique_ptr<Model> model = load("add");
  std::vector<std::vector<Tensor>> inputs;
  std::vector<std::vector<Tensor>> outputs;
  std::vector<std::vector<ConstTensorView>> input_views(3);
  std::vector<std::vector<TensorView>> output_views(3);
  std::vector<BatchEntry> entries;
  for (size_t i = 0; i < 3; ++i) {
    const auto value = static_cast<double>(i);
    inputs.push_back({make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, value)),
                      make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, 10 * value))});
    outputs.push_back(add_outputs());
  }
  for (size_t i = 0; i < 3; ++i) {
    for (const Tensor& tensor : inputs[i]) {
      input_views[i].push_back({tensor.dtype, tensor.shape, {}, tensor.bytes.data()});
    }
    output_views[i].push_back(outputs[i][0].mutable_view());
    entries.push_back({input_views[i], output_views[i]});
  }
  const Status status = execute_batch(*model, entries);
  ASSERT_TRUE(status.ok()) << status.to_string();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(outputs[i][0].numbers(), Each(11 * static_cast<double>(i)));
  }
  // One wrong entry: nothing is executed.
  const core_ml::Counters before = core_ml::counters();
  output_views[2][0].capacity = 4;
  EXPECT_TRUE(fails_with(execute_batch(*model, entries), StatusCode::kInvalidArgument, "entry 2"));
  EXPECT_EQ(core_ml::counters().predictions, before.predictions);
  EXPECT_TRUE(
      fails_with(execute_batch(*load("state"), {}), StatusCode::kFailedPrecondition, "state"));
}

// An MLState is its model's: values are carried over, each function seeing what the other wrote.
TEST_F(CoreMLEngineTest, AStateGoesBackAndForthBetweenFunctions) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("functions");
  LoadOptions options;
  options.function_name = "push";
  const ModelSource source{ModelKind::kPackage, &files, "functions"};
  const std::unique_ptr<Model> push = *engine_->load_source(source, options);
  const std::unique_ptr<Model> push_twice = *engine_->load_source(source, {});
  const std::unique_ptr<State> state = *push->make_state();
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
  const ExecuteOptions with_state{.state = state.get(), .events = nullptr};
  double expected = 0;
  for (int i = 0; i < 3; ++i) {
    for (Model* const model : {push.get(), push_twice.get()}) {
      expected += model == push.get() ? 1 : 2;
      const Status status = execute(*model, {four(1)}, outputs, with_state);
      ASSERT_TRUE(status.ok()) << status.to_string();
      EXPECT_THAT(outputs[0].numbers(), Each(expected));
    }
  }
  // A copy has the values, whichever function had them last, and is independent.
  const std::unique_ptr<State> copy = *state->copy();
  ASSERT_TRUE(execute(*push, {four(1)}, outputs, {.state = copy.get(), .events = nullptr}).ok());
  EXPECT_THAT(outputs[0].numbers(), Each(expected + 1));
  ASSERT_TRUE(execute(*push, {four(1)}, outputs, with_state).ok());
  EXPECT_THAT(outputs[0].numbers(), Each(expected + 1));
  ASSERT_TRUE(state->reset().ok());
  ASSERT_TRUE(execute(*push_twice, {four(1)}, outputs, with_state).ok());
  EXPECT_THAT(outputs[0].numbers(), Each(2));
}

// A package compiled elsewhere: .mlmodelc. Its features are in the order of their names.
TEST_F(CoreMLEngineTest, RunsModelsThatAreCompiledAlready) {
  const TemporaryFolder folder;
  const inmemoryfs::InMemoryFileSystem package = read_test_model("state_range");
  ASSERT_TRUE(
      engine_->compile({ModelKind::kPackage, &package, "state_range"}, folder.path(), {}).ok());
  const auto compiled =
      inmemoryfs::read_folder(real_file_system(), folder.path() + "/model.mlmodelc");
  ASSERT_TRUE(compiled.ok()) << compiled.status().to_string();
  const ModelSource source{ModelKind::kCompiled, &*compiled, "state_range"};
  const auto described = engine_->describe(source);
  ASSERT_TRUE(described.ok()) << described.status().to_string();
  ASSERT_EQ(described->size(), 1u);
  EXPECT_EQ((*described)[0].inputs[0].to_string(), "x: float16[4]");
  EXPECT_EQ((*described)[0].inputs[1].to_string(), "z: float32[1..8]");
  EXPECT_EQ((*described)[0].outputs[1].to_string(), "twice: float32[0..]");
  EXPECT_EQ((*described)[0].states[0].to_string(), "acc: float16[4]");
  auto model = engine_->load_source(source, {});
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  const std::unique_ptr<State> state = *(*model)->make_state();
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4}),
                                 make_output(DataType::kFloat32, {8})};
  const Status status = execute(**model, {four(3), make_tensor(DataType::kFloat32, {2}, {4, 5})},
                                outputs, {.state = state.get(), .events = nullptr});
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(outputs[0].numbers(), Each(3));
  EXPECT_THAT(outputs[1].numbers(), ElementsAre(8, 10));
}

TEST_F(CoreMLEngineTest, RefusesAFolderOfAnotherFingerprint) {
  const TemporaryFolder folder;
  const inmemoryfs::InMemoryFileSystem package = read_test_model("add");
  ASSERT_TRUE(engine_->compile({ModelKind::kPackage, &package, "add"}, folder.path(), {}).ok());
  EXPECT_NE(engine_->fingerprint().find("coreml"), std::string::npos);
  // As another system would have written it.
  const std::string path = folder.path() + "/description.json";
  const Bytes content = *real_file_system().map(path);
  std::string line(as_text(content.span()).substr(0, as_text(content.span()).find('\n')));
  const size_t at = line.find(engine_->fingerprint());
  ASSERT_NE(at, std::string::npos);
  line.replace(at, 8, "coreml 0");
  ASSERT_TRUE(real_file_system().remove_file(path).ok());
  std::ofstream(path) << line << "\n";
  EXPECT_TRUE(fails_with(engine_->load(folder.path(), {}).status(), StatusCode::kFailedPrecondition,
                         "compile the model again"));
}

// Compute units are chosen when a model is loaded: one compiled form serves them all.
TEST_F(CoreMLEngineTest, ComputeUnitsAreNoMatterOfCompiling) {
  const CompileRequest plain = engine_->plan({}, {}).value();
  const CompileRequest cpu = engine_->plan({}, {.compute_units = ComputeUnits::kCpuOnly}).value();
  EXPECT_EQ(cpu.text, plain.text);
  EXPECT_NE(cpu.load_text, plain.load_text);
  const CompileRequest half = engine_->plan({}, {.numeric_mode = NumericMode::kFloat16}).value();
  EXPECT_EQ(half.text, plain.text) << "Core ML has no numeric modes";
  EXPECT_EQ(half.load_text, plain.load_text);
}

// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n
TEST_F(CoreMLEngineTest, EstimatesAreNotMeasurements) {
  const TemporaryFolder folder;
  const inmemoryfs::InMemoryFileSystem package = read_test_model("scalar");
  ASSERT_TRUE(engine_->compile({ModelKind::kPackage, &package, "scalar"}, folder.path(), {}).ok());
  const auto estimates = estimate_operations(folder.path(), {});
  ASSERT_TRUE(estimates.ok()) << estimates.status().to_string();
  ASSERT_EQ(estimates->size(), 2u);
  EXPECT_EQ((*estimates)[0].output, "product");
  EXPECT_NE((*estimates)[0].type.find("mul"), std::string::npos);
  EXPECT_EQ((*estimates)[1].output, "total");
  EXPECT_DOUBLE_EQ((*estimates)[0].estimated_cost + (*estimates)[1].estimated_cost, 1);
  EXPECT_EQ((*estimates)[0].preferred_device, "cpu");
  EXPECT_THAT((*estimates)[0].supported_devices, ElementsAre("cpu"));
  core_ml::fail_next(core_ml::Stage::kComputePlan, core_ml::Fault::kError);
  EXPECT_TRUE(fails_with(estimate_operations(folder.path(), {}).status(),
                         StatusCode::kEngineFailure, "test"));
}

}  // namespace
}  // namespace coreml_delegate::engine::coreml
