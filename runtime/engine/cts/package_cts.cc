// What only engines that execute real ML Programs can show.

#include <gmock/gmock.h>

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/event_sink.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST_P(PackageEngineTest, EnumeratedShapes) {
  const std::unique_ptr<Model> model = load("enumerated");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->description().inputs[0].to_string(), "x: float32{[2, 3], [4, 3]}");
  for (const int64_t rows : {4, 2}) {
    std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {4, 3})};
    ASSERT_TRUE(execute(*model,
                        {make_tensor(DataType::kFloat32, {rows, 3},
                                     std::vector<double>(static_cast<size_t>(rows * 3), 2))},
                        outputs)
                    .ok());
    EXPECT_THAT(outputs[0].shape, ElementsAre(rows, 3));
    EXPECT_THAT(outputs[0].numbers(), Each(3));
  }
  // Between two that are allowed.
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {4, 3})};
  EXPECT_TRUE(fails_with(
      execute(*model, {make_tensor(DataType::kFloat32, {3, 3}, std::vector<double>(9, 2))},
              outputs),
      StatusCode::kInvalidArgument, "[2, 3], [4, 3]"));
  EXPECT_TRUE(is_untouched(outputs[0]));
}

TEST_P(PackageEngineTest, ScalarsAreDescribedAsOneElement) {
  const std::unique_ptr<Model> model = load("scalar");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->description().inputs[0].to_string(), "a: float32[1]");
  EXPECT_EQ(model->description().outputs[1].to_string(), "total: float32[]");
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {3}),
                                 make_output(DataType::kFloat32, {})};
  const Status status = execute(
      *model,
      {make_tensor(DataType::kFloat32, {1}, {2}), make_tensor(DataType::kFloat32, {3}, {1, 2, 3})},
      outputs);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(2, 4, 6));
  EXPECT_THAT(outputs[1].numbers(), ElementsAre(12));
}

TEST_P(PackageEngineTest, ShapesThatDependOnValues) {
  const std::unique_ptr<Model> model = load("nonzero");
  ASSERT_NE(model, nullptr);
  for (const std::vector<double>& expected :
       {std::vector<double>{1, 4, 15}, std::vector<double>{}, std::vector<double>{0}}) {
    std::vector<double> values(16, 0);
    for (const double index : expected) values[static_cast<size_t>(index)] = 1;
    std::vector<Tensor> outputs = {make_output(DataType::kInt32, {16})};
    const Status status = execute(*model, {make_tensor(DataType::kFloat32, {16}, values)}, outputs);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_THAT(outputs[0].shape, ElementsAre(static_cast<int64_t>(expected.size())));
    EXPECT_EQ(outputs[0].numbers(), expected);
  }
  // No elements need no memory.
  std::vector<Tensor> nothing = {make_output(DataType::kInt32, {0})};
  EXPECT_TRUE(
      execute(*model, {make_tensor(DataType::kFloat32, {16}, std::vector<double>(16, 0))}, nothing)
          .ok());
  EXPECT_TRUE(fails_with(
      execute(*model, {make_tensor(DataType::kFloat32, {16}, std::vector<double>(16, 1))}, nothing),
      StatusCode::kInvalidArgument, "n: int32"));
}

// The engine may use weights in place, so it must share in the ownership of their bytes.
TEST_P(PackageEngineTest, TheSourceMayGoAwayAfterLoading) {
  std::unique_ptr<Model> model;
  {
    const inmemoryfs::InMemoryFileSystem files = read_test_model("weights");
    model = load_from(files, "weights");
  }
  ASSERT_NE(model, nullptr);
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {1, 64})};
  ASSERT_TRUE(
      execute(*model, {make_tensor(DataType::kFloat32, {1, 4}, {1, 10, 100, 1000})}, outputs).ok());
  std::vector<double> expected;
  for (int row = 0; row < 64; ++row) {
    double value = row;
    for (int column = 0; column < 4; ++column) {
      const double factors[] = {1, 10, 100, 1000};
      value += ((row * 4 + column) % 7 - 3) * factors[column];
    }
    expected.push_back(value);
  }
  EXPECT_EQ(outputs[0].numbers(), expected);
}

TEST_P(PackageEngineTest, SeveralFunctions) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("functions");
  const ModelSource source{ModelKind::kPackage, &files, "functions"};
  const Result<std::vector<FunctionDescription>> functions = engine().describe(source);
  ASSERT_TRUE(functions.ok()) << functions.status().to_string();
  std::vector<std::string> names;
  for (const FunctionDescription& function : *functions) names.push_back(function.name);
  EXPECT_THAT(names, UnorderedElementsAre("push", "push_twice"));
  EXPECT_EQ(load_from(files, "functions")->description().name, "push_twice") << "the default";
  LoadOptions options;
  options.function_name = "push";
  EXPECT_EQ(load_from(files, "functions", options)->description().name, "push");
  options.function_name = "pull";
  EXPECT_TRUE(fails_with(engine().load_source(source, options).status(), StatusCode::kNotFound,
                         "push_twice"));
}

// A prefill and a decode function work on one cache.
TEST_P(PackageEngineTest, FunctionsOfAPackageShareAState) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("functions");
  LoadOptions options;
  options.function_name = "push";
  const std::unique_ptr<Model> push = load_from(files, "functions", options);
  const std::unique_ptr<Model> push_twice = load_from(files, "functions");
  ASSERT_TRUE(push != nullptr && push_twice != nullptr);
  const std::unique_ptr<State> state = *push->make_state();
  const std::vector<Tensor> inputs = {make_tensor(DataType::kFloat16, {4}, {1, 2, 3, 4})};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
  const ExecuteOptions with_state{.state = state.get(), .events = nullptr};
  ASSERT_TRUE(execute(*push, inputs, outputs, with_state).ok());
  const Status status = execute(*push_twice, inputs, outputs, with_state);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(3, 6, 9, 12));
}

TEST_P(PackageEngineTest, CompilesTheFunctionAskedFor) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("functions");
  const TemporaryFolder folder;
  LoadOptions options;
  options.function_name = "push";
  ASSERT_TRUE(
      engine().compile({ModelKind::kPackage, &files, "functions"}, folder.path(), options).ok());
  const Result<std::unique_ptr<Model>> model = engine().load(folder.path(), options);
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ((*model)->description().name, "push");
  options.function_name = "push_twice";
  EXPECT_TRUE(fails_with(engine().load(folder.path(), options).status(),
                         StatusCode::kFailedPrecondition, "push"));
}

TEST_P(PackageEngineTest, AnUnsupportedOperationIsNamedWhenCompiling) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("unsupported");
  const ModelSource source{ModelKind::kPackage, &files, "unsupported"};
  const StatusCode code = under_test().unsupported_operation;
  const Status loaded = engine().load_source(source, {}).status();
  EXPECT_TRUE(fails_with(loaded, code, "no_such_operation"));
  EXPECT_TRUE(fails_with(loaded, code, "-> y")) << "its output";
  EXPECT_TRUE(fails_with(loaded, code, "CoreML6")) << "the opset";
  const TemporaryFolder folder;
  EXPECT_TRUE(fails_with(engine().compile(source, folder.path(), {}), code, "no_such_operation"));
  // Its description is still there to be had.
  EXPECT_TRUE(engine().describe(source).ok());
}

TEST_P(PackageEngineTest, DamagedPackages) {
  inmemoryfs::InMemoryFileSystem files = read_test_model("weights");
  const ModelSource source{ModelKind::kPackage, &files, "weights"};
  const std::string weights = "Data/com.apple.CoreML/weights/weight.bin";
  const Bytes content = *files.read(weights);
  ASSERT_TRUE(files.remove(weights).ok());
  EXPECT_TRUE(fails_with(engine().load_source(source, {}).status(), StatusCode::kCorruptData,
                         "weight.bin"));
  ASSERT_TRUE(files.add_file(weights, content.subspan(0, content.size() / 2)).ok());
  EXPECT_TRUE(fails_with(engine().load_source(source, {}).status(), StatusCode::kCorruptData,
                         "weight.bin"));
  ASSERT_TRUE(files.remove("Manifest.json").ok());
  EXPECT_TRUE(fails_with(engine().load_source(source, {}).status(), StatusCode::kCorruptData,
                         "Manifest.json"));
  EXPECT_TRUE(
      fails_with(engine().describe(source).status(), StatusCode::kCorruptData, "Manifest.json"));
}

TEST_P(PackageEngineTest, CancelledWhileItCompiles) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("chain");
  for (const int milliseconds : {0, 1, 5, 20}) {
    CancellationToken token;
    LoadOptions options;
    options.cancellation = &token;
    std::thread canceller([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
      token.cancel();
    });
    const Status status =
        engine().load_source({ModelKind::kPackage, &files, "chain"}, options).status();
    canceller.join();
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kCancelled) << status.to_string();
  }
  EXPECT_NE(load_from(files, "chain"), nullptr);
}

// --- What an engine tells of the operations ---

class Inspector : public EventSink {
 public:
  bool wants_operation_timings() const override { return true; }
  bool wants_intermediate_values() const override { return values_wanted; }
  void on_timing(const TimingEvent& event) override {
    if (event.kind != EventKind::kOperation) return;
    EXPECT_LE(event.start_ns, event.end_ns);
    timed.emplace(event.name, event.type);
  }
  void on_intermediate_value(std::string_view name, std::string_view type,
                             const ConstTensorView& value) override {
    types[std::string(name)] = std::string(type);
    Tensor tensor{value.dtype, {value.shape.begin(), value.shape.end()}, {}, {}};
    size_t bytes = data_type_size(value.dtype);
    for (const int64_t extent : value.shape) bytes *= static_cast<size_t>(extent);
    const auto* const data = static_cast<const std::byte*>(value.data);
    tensor.bytes.assign(data, data + bytes);
    values.insert_or_assign(std::string(name), std::move(tensor));
  }
  bool values_wanted = false;
  std::set<std::pair<std::string, std::string>> timed;  // Names and types.
  std::map<std::string, std::string> types;
  std::map<std::string, Tensor> values;
};

TEST_P(PackageEngineTest, TimesOperationsByTheirNamesInTheModel) {
  const std::unique_ptr<Model> model = load("scalar");
  ASSERT_NE(model, nullptr);
  const std::vector<Tensor> inputs = {make_tensor(DataType::kFloat32, {1}, {2}),
                                      make_tensor(DataType::kFloat32, {3}, {1, 2, 3})};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {3}),
                                 make_output(DataType::kFloat32, {})};
  Inspector inspector;
  ASSERT_TRUE(execute(*model, inputs, outputs, {.state = nullptr, .events = &inspector}).ok());
  if (under_test().times_operations) {
    EXPECT_THAT(inspector.timed,
                IsSupersetOf({Pair("product", "mul"), Pair("total", "reduce_sum")}));
  } else {
    EXPECT_TRUE(inspector.timed.empty());
  }
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(2, 4, 6));
  EXPECT_TRUE(inspector.values.empty());
}

TEST_P(PackageEngineTest, GivesIntermediateValues) {
  const std::unique_ptr<Model> model = load("state");
  ASSERT_NE(model, nullptr);
  const std::unique_ptr<State> state = *model->make_state();
  Inspector inspector;
  inspector.values_wanted = true;
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
  const Status status = execute(*model, {make_tensor(DataType::kFloat16, {4}, {1, 2, 3, 4})},
                                outputs, {.state = state.get(), .events = &inspector});
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(read_state(*state, *model, "acc"), ElementsAre(1, 2, 3, 4));
  if (!model->offers_intermediate_values()) return;
  EXPECT_FALSE(inspector.values.empty());
  ASSERT_EQ(inspector.values.count("total"), 1u);
  EXPECT_EQ(inspector.values["total"].dtype, DataType::kFloat16);
  EXPECT_THAT(inspector.values["total"].numbers(), ElementsAre(1, 2, 3, 4));
}

}  // namespace
}  // namespace coreml_delegate::engine
