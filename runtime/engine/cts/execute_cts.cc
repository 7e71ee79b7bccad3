// Describing and executing functions without states.

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/event_sink.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

std::vector<Tensor> add_inputs() {
  return {make_tensor(DataType::kFloat32, {2, 3}, {1, 2, 3, 4, 5, 6}),
          make_tensor(DataType::kFloat32, {2, 3}, {10, 20, 30, 40, 50, 60})};
}

TEST_P(EngineTest, DescribesWithoutLoading) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("range");
  const Result<std::vector<FunctionDescription>> functions =
      engine().describe({ModelKind::kPackage, &files, "range"});
  ASSERT_TRUE(functions.ok()) << functions.status().to_string();
  ASSERT_EQ(functions->size(), 1u);
  const FunctionDescription& function = (*functions)[0];
  EXPECT_EQ(function.name, "main");
  ASSERT_EQ(function.inputs.size(), 2u);
  EXPECT_EQ(function.inputs[0].to_string(), "x: float32[1..8, 3]");
  EXPECT_EQ(function.inputs[1].to_string(), "y: float32[1..8, 3]");
  ASSERT_EQ(function.outputs.size(), 1u);
  EXPECT_EQ(function.outputs[0].to_string(), "sum: float32[0.., 3]");
  EXPECT_TRUE(function.states.empty());
}

TEST_P(EngineTest, TheLoadedModelSaysTheSame) {
  for (const char* const name : {"add", "types", "range", "state"}) {
    const inmemoryfs::InMemoryFileSystem files = read_test_model(name);
    const Result<std::vector<FunctionDescription>> functions =
        engine().describe({ModelKind::kPackage, &files, name});
    ASSERT_TRUE(functions.ok());
    const std::unique_ptr<Model> model = load_from(files, name);
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->description().name, (*functions)[0].name);
    EXPECT_EQ(model->description().inputs, (*functions)[0].inputs);
    EXPECT_EQ(model->description().outputs, (*functions)[0].outputs);
    EXPECT_EQ(model->description().states, (*functions)[0].states);
  }
}

TEST_P(EngineTest, FingerprintStaysTheSame) {
  EXPECT_FALSE(engine().fingerprint().empty());
  EXPECT_EQ(engine().fingerprint(), engine().fingerprint());
}

TEST_P(EngineTest, Computes) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(11, 22, 33, 44, 55, 66));
}

TEST_P(EngineTest, UsesTheBuffersOfEachCall) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> inputs = add_inputs();
  for (int i = 0; i < 3; ++i) {
    // The same input buffers with other content, other output buffers.
    inputs[0] = make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, i));
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
    ASSERT_TRUE(execute(*model, inputs, outputs).ok());
    EXPECT_THAT(outputs[0].numbers(), ElementsAre(10 + i, 20 + i, 30 + i, 40 + i, 50 + i, 60 + i));
    const Tensor before = outputs[0];
    std::vector<Tensor> others = {make_output(DataType::kFloat32, {2, 3})};
    inputs[0].bytes = make_bytes(DataType::kFloat32, std::vector<double>(6, 100));
    ASSERT_TRUE(execute(*model, inputs, others).ok());
    EXPECT_EQ(outputs[0].bytes, before.bytes);
    EXPECT_THAT(others[0].numbers(), ElementsAre(110, 120, 130, 140, 150, 160));
  }
}

TEST_P(EngineTest, EveryBorderType) {
  const std::unique_ptr<Model> model = load("types");
  ASSERT_NE(model, nullptr);
  const std::vector<Tensor> inputs = {
      make_tensor(DataType::kFloat16, {4}, {1.5, -65504, 0x1p-24, 0}),
      make_tensor(DataType::kFloat32, {4}, {0.1f, -3e38f, 1e-30f, 7}),
      make_tensor(DataType::kInt32, {4}, {-2147483648.0, 2147483647.0, 16777217, -1}),
      make_tensor(DataType::kFloat64, {4}, {0.5, -0x1p100, 12345, -0.25})};
  std::vector<Tensor> outputs = {
      make_output(DataType::kFloat16, {4}), make_output(DataType::kFloat32, {4}),
      make_output(DataType::kInt32, {4}), make_output(DataType::kFloat64, {4})};
  const Status status = execute(*model, inputs, outputs);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(outputs[0].bytes, inputs[0].bytes);
  EXPECT_EQ(outputs[1].bytes, inputs[1].bytes);
  EXPECT_EQ(outputs[2].bytes, inputs[2].bytes);
  // Through the float32 of the program, which holds these.
  EXPECT_THAT(outputs[3].numbers(), ElementsAre(0.5, -0x1p100, 12345, -0.25));
}

TEST_P(EngineTest, WritesNoMoreThanTheResult) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3}, 64)};
  ASSERT_TRUE(execute(*model, add_inputs(), outputs).ok());
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(11, 22, 33, 44, 55, 66));
  EXPECT_THAT(std::vector<std::byte>(outputs[0].bytes.begin() + 24, outputs[0].bytes.end()),
              Each(std::byte{0xA5}));
}

TEST_P(EngineTest, ShapesInTheirRange) {
  const std::unique_ptr<Model> model = load("range");
  ASSERT_NE(model, nullptr);
  for (const int64_t rows : {1, 8, 3, 1, 5}) {
    std::vector<double> values;
    for (int64_t i = 0; i < rows * 3; ++i) values.push_back(static_cast<double>(i));
    const std::vector<Tensor> inputs = {make_tensor(DataType::kFloat32, {rows, 3}, values),
                                        make_tensor(DataType::kFloat32, {rows, 3}, values)};
    // The shape passed in is not the one that comes out; the capacity is what counts.
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {8, 3})};
    const Status status = execute(*model, inputs, outputs);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_THAT(outputs[0].shape, ElementsAre(rows, 3));
    std::vector<double> expected;
    for (const double value : values) expected.push_back(2 * value);
    EXPECT_EQ(outputs[0].numbers(), expected);
    EXPECT_THAT(
        std::vector<std::byte>(outputs[0].bytes.begin() + rows * 12, outputs[0].bytes.end()),
        Each(std::byte{0xA5}));
  }
}

// --- What is refused, before anything is written ---

TEST_P(EngineTest, RefusesTheWrongNumberOfTensors) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> inputs = add_inputs();
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  inputs.pop_back();
  EXPECT_TRUE(fails_with(execute(*model, inputs, outputs), StatusCode::kInvalidArgument, ""));
  inputs = add_inputs();
  inputs.push_back(inputs[0]);
  EXPECT_TRUE(fails_with(execute(*model, inputs, outputs), StatusCode::kInvalidArgument, ""));
  outputs.push_back(make_output(DataType::kFloat32, {2, 3}));
  EXPECT_TRUE(fails_with(execute(*model, add_inputs(), outputs), StatusCode::kInvalidArgument, ""));
  EXPECT_TRUE(is_untouched(outputs[0]));
  outputs.clear();
  EXPECT_TRUE(fails_with(execute(*model, add_inputs(), outputs), StatusCode::kInvalidArgument, ""));
}

TEST_P(EngineTest, RefusesWrongTypesShapesAndRanks) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  const std::vector<double> six(6, 1);
  const std::vector<Tensor> wrong = {
      make_tensor(DataType::kFloat16, {2, 3}, six),
      make_tensor(DataType::kInt32, {2, 3}, six),
      make_tensor(DataType::kFloat32, {3, 2}, six),
      make_tensor(DataType::kFloat32, {6}, six),
      make_tensor(DataType::kFloat32, {1, 2, 3}, six),
      make_tensor(DataType::kFloat32, {2, 4}, std::vector<double>(8, 1)),
      make_tensor(DataType::kFloat32, {0, 3}, {})};
  for (const Tensor& tensor : wrong) {
    std::vector<Tensor> inputs = add_inputs();
    inputs[1] = tensor;
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
    EXPECT_TRUE(fails_with(execute(*model, inputs, outputs), StatusCode::kInvalidArgument, "y"));
    EXPECT_TRUE(is_untouched(outputs[0]));
  }
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {2, 3}, 24)};
  EXPECT_TRUE(
      fails_with(execute(*model, add_inputs(), outputs), StatusCode::kInvalidArgument, "sum"));
  outputs = {make_output(DataType::kFloat32, {6})};
  EXPECT_TRUE(
      fails_with(execute(*model, add_inputs(), outputs), StatusCode::kInvalidArgument, "sum"));
  EXPECT_TRUE(is_untouched(outputs[0]));
}

TEST_P(EngineTest, RefusesShapesOutsideTheirRange) {
  const std::unique_ptr<Model> model = load("range");
  ASSERT_NE(model, nullptr);
  for (const int64_t rows : {0, 9}) {
    const std::vector<double> values(static_cast<size_t>(rows * 3), 1);
    const std::vector<Tensor> inputs = {make_tensor(DataType::kFloat32, {rows, 3}, values),
                                        make_tensor(DataType::kFloat32, {rows, 3}, values)};
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {9, 3})};
    EXPECT_TRUE(fails_with(execute(*model, inputs, outputs), StatusCode::kInvalidArgument, "x"));
    EXPECT_TRUE(is_untouched(outputs[0]));
  }
}

// Shapes that are allowed one by one and do not go together.
TEST_P(EngineTest, ShapesThatDisagreeAreAFailure) {
  const std::unique_ptr<Model> model = load("range");
  ASSERT_NE(model, nullptr);
  const std::vector<Tensor> inputs = {
      make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, 1)),
      make_tensor(DataType::kFloat32, {5, 3}, std::vector<double>(15, 1))};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {8, 3})};
  EXPECT_FALSE(execute(*model, inputs, outputs).ok());
  EXPECT_TRUE(is_untouched(outputs[0]));
  // The model is usable afterwards.
  const std::vector<Tensor> good = {
      make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, 1)),
      make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, 2))};
  ASSERT_TRUE(execute(*model, good, outputs).ok());
  EXPECT_THAT(outputs[0].numbers(), Each(3));
}

// The stock delegate copied first and checked afterwards.
TEST_P(EngineTest, RefusesATooSmallOutputBeforeWriting) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  outputs[0].bytes.resize(23);
  EXPECT_TRUE(
      fails_with(execute(*model, add_inputs(), outputs), StatusCode::kInvalidArgument, "sum"));
  EXPECT_TRUE(is_untouched(outputs[0]));
}

TEST_P(EngineTest, RefusesATooSmallOutputOfOpenShape) {
  const std::unique_ptr<Model> model = load("range");
  ASSERT_NE(model, nullptr);
  const std::vector<Tensor> inputs = {
      make_tensor(DataType::kFloat32, {4, 3}, std::vector<double>(12, 1)),
      make_tensor(DataType::kFloat32, {4, 3}, std::vector<double>(12, 1))};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  EXPECT_TRUE(fails_with(execute(*model, inputs, outputs), StatusCode::kInvalidArgument, "sum"));
  EXPECT_TRUE(is_untouched(outputs[0]));
  EXPECT_THAT(outputs[0].shape, ElementsAre(4, 3)) << "the extents that are needed";
}

// --- Strides ---

TEST_P(EngineTest, ContiguousStrides) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> inputs = add_inputs();
  inputs[0].strides = {3, 1};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  outputs[0].strides = {3, 1};
  EXPECT_TRUE(model->accepts_strides(inputs[0].shape, inputs[0].strides));
  ASSERT_TRUE(execute(*model, inputs, outputs).ok());
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(11, 22, 33, 44, 55, 66));
}

TEST_P(EngineTest, StridesOfExtentOneMeanNothing) {
  const std::unique_ptr<Model> model = load("range");
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> inputs = {make_tensor(DataType::kFloat32, {1, 3}, {1, 2, 3}),
                                make_tensor(DataType::kFloat32, {1, 3}, {4, 5, 6})};
  inputs[0].strides = {17, 1};
  EXPECT_TRUE(model->accepts_strides(inputs[0].shape, inputs[0].strides));
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {1, 3})};
  ASSERT_TRUE(execute(*model, inputs, outputs).ok());
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(5, 7, 9));
}

// What accepts_strides() refuses, execute() refuses too; what it accepts is computed right.
TEST_P(EngineTest, OtherStrides) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  const std::vector<std::vector<int64_t>> layouts = {{1, 2}, {8, 1}, {8, 2}, {0, 1}};
  for (const std::vector<int64_t>& strides : layouts) {
    std::vector<Tensor> inputs = add_inputs();
    inputs[0].strides = strides;
    inputs[0].bytes =
        make_bytes(DataType::kFloat32, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13});
    std::vector<double> expected = inputs[0].numbers();
    for (size_t i = 0; i < 6; ++i) expected[i] += 10 * static_cast<double>(i + 1);
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
    const Status status = execute(*model, inputs, outputs);
    if (model->accepts_strides(inputs[0].shape, strides)) {
      ASSERT_TRUE(status.ok()) << status.to_string();
      EXPECT_EQ(outputs[0].numbers(), expected);
    } else {
      EXPECT_TRUE(fails_with(status, StatusCode::kInvalidArgument, "x"));
      EXPECT_TRUE(is_untouched(outputs[0]));
    }
  }
}

// --- Several at once ---

TEST_P(EngineTest, ExecutesConcurrently) {
  const std::unique_ptr<Model> model = load("range");
  ASSERT_NE(model, nullptr);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      const int64_t rows = t + 1;
      const std::vector<double> values(static_cast<size_t>(rows * 3), t);
      const std::vector<Tensor> inputs = {make_tensor(DataType::kFloat32, {rows, 3}, values),
                                          make_tensor(DataType::kFloat32, {rows, 3}, values)};
      for (int i = 0; i < 50; ++i) {
        std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {8, 3})};
        if (!execute(*model, inputs, outputs).ok() || outputs[0].shape[0] != rows) ++wrong;
        for (const double value : outputs[0].numbers()) wrong += value == 2 * t ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(EngineTest, LoadsConcurrently) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const std::unique_ptr<Model> model = load("add");
      std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
      if (model == nullptr || !execute(*model, add_inputs(), outputs).ok() ||
          outputs[0].numbers()[5] != 66) {
        ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// --- Events ---

class Recorder : public EventSink {
 public:
  void on_timing(const TimingEvent& event) override {
    EXPECT_LE(event.start_ns, event.end_ns);
    kinds.push_back(event.kind);
    names.emplace_back(event.name);
  }
  std::vector<EventKind> kinds;
  std::vector<std::string> names;
};

TEST_P(EngineTest, TellsWhatItDid) {
  Recorder recorder;
  LoadOptions options;
  options.events = &recorder;
  const std::unique_ptr<Model> model = load("add", options);
  ASSERT_NE(model, nullptr);
  EXPECT_THAT(recorder.kinds, ::testing::Contains(EventKind::kLoad));
  EXPECT_THAT(recorder.names, Each("main"));
  recorder.kinds.clear();
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  ASSERT_TRUE(execute(*model, add_inputs(), outputs, {.state = nullptr, .events = &recorder}).ok());
  EXPECT_THAT(recorder.kinds, ElementsAre(EventKind::kExecute));
  // A failed one is not a measurement.
  recorder.kinds.clear();
  outputs.clear();
  EXPECT_FALSE(
      execute(*model, add_inputs(), outputs, {.state = nullptr, .events = &recorder}).ok());
  EXPECT_TRUE(recorder.kinds.empty());
}

}  // namespace
}  // namespace coreml_delegate::engine
