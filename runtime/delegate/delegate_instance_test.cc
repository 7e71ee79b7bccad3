#include "runtime/delegate/delegate_instance.h"

#include <executorch/runtime/platform/runtime.h>

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/delegate/testing_support.h"

namespace coreml_delegate {
namespace {

using engine::FakeStage;
using executorch::aten::ScalarType;
using testing::Arguments;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TestTensor;

constexpr char kCounter[] =
    "function main\ninput x float32 [2]\nstate s float32 [2]\noutput y float32 [2] = accumulate s "
    "x\n";

class DelegateInstanceTest : public ::testing::Test {
 protected:
  DelegateInstanceTest() : engine_(testing::registered_fake_engine()) {
    options_.engine = "fake";
    for (size_t i = 0; i < engine::kFakeStageCount; ++i) {
      engine_.controls().set_hook(static_cast<FakeStage>(i), nullptr);
      engine_.controls().fail_next(static_cast<FakeStage>(i), Status(), 0);
    }
  }

  // A blob of ours with these functions over the toy program.
  blob::DelegateCall call(const std::string& program, std::vector<blob::Function> functions,
                          std::string function_name = "") {
    program_ = program;
    blob::DelegateCall call;
    EXPECT_TRUE(call.blob.files.add_file(engine::kFakeProgramFile, Bytes(as_bytes(program_))).ok());
    call.blob.functions = std::move(functions);
    call.function_name = std::move(function_name);
    return call;
  }
  static TensorSpec floats(const std::string& name, int64_t count,
                           DataType dtype = DataType::kFloat32) {
    return {.name = name, .dtype = dtype, .shape = {{count, count}}, .enumerated_shapes = {}};
  }
  blob::DelegateCall counter(DataType output = DataType::kFloat32) {
    return call(kCounter, {{.name = "main",
                            .method = "forward",
                            .inputs = {floats("x", 2)},
                            .outputs = {floats("y", 2, output)},
                            .states = {{.tensor = floats("s", 2), .initial_value_path = ""}}}});
  }
  Result<std::unique_ptr<DelegateInstance>> create(const blob::DelegateCall& call,
                                                   const std::string& method = "forward") {
    return DelegateInstance::create(call, method, options_, provider_, nullptr);
  }
  engine::FakeControls& controls() { return engine_.controls(); }

  engine::FakeEngine& engine_;
  DelegateOptions options_;
  InProcessModelProvider provider_;
  std::string program_;
};

TEST_F(DelegateInstanceTest, StatesLastFromCallToCallAndAreEachInstancesOwn) {
  const blob::DelegateCall call = counter();
  auto first = *create(call);
  auto second = *create(call);
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 10});
  TestTensor y(ScalarType::Float, {2});
  ASSERT_TRUE(first->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
  ASSERT_TRUE(first->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(2, 20));
  ASSERT_TRUE(second->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 10));
  EXPECT_TRUE(first->has_states());
}

// A prefill and a decode function of one model.
constexpr char kTwoCounters[] =
    "function prefill\ninput x float32 [2]\nstate s float32 [2]\noutput y float32 [2] = accumulate "
    "s x\n"
    "function decode\ninput x float32 [2]\nstate s float32 [2]\noutput y float32 [2] = accumulate "
    "s x\n";

TEST_F(DelegateInstanceTest, FunctionsOfOneModelInOneProgramShareTheirStates) {
  const auto function = [](const std::string& name) {
    return blob::Function{.name = name,
                          .method = name,
                          .inputs = {floats("x", 2)},
                          .outputs = {floats("y", 2)},
                          .states = {{.tensor = floats("s", 2), .initial_value_path = ""}}};
  };
  const std::vector<blob::Function> functions = {function("decode"), function("prefill")};
  SharedStates shared;
  const int program = 0, other_program = 0;
  const auto load = [&](const std::string& name, const int* where) {
    return *DelegateInstance::create(call(kTwoCounters, functions, name), name, options_, provider_,
                                     nullptr, {.states = &shared, .program = where});
  };
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 10});
  TestTensor y(ScalarType::Float, {2});
  const auto run = [&](DelegateInstance& instance) {
    EXPECT_TRUE(instance.execute(Arguments({x.get(), &y}).span(), nullptr).ok());
    return y.values<float>()[0];
  };
  auto prefill = load("prefill", &program);
  EXPECT_EQ(run(*prefill), 1);
  auto decode = load("decode", &program);
  EXPECT_EQ(run(*decode), 2);
  EXPECT_EQ(run(*prefill), 3);
  // Another load of the program has its own, and so has a function whose program is not known.
  EXPECT_EQ(run(*load("decode", &other_program)), 1);
  EXPECT_EQ(run(*load("decode", nullptr)), 1);
  // They outlive the function that made them, and are reset through any.
  prefill.reset();
  EXPECT_EQ(run(*decode), 4);
  prefill = load("prefill", &program);
  EXPECT_EQ(run(*prefill), 5);
  ASSERT_TRUE(decode->reset_states().ok());
  EXPECT_EQ(run(*prefill), 1);
  // With the last of them they go.
  prefill.reset();
  decode.reset();
  EXPECT_EQ(run(*load("decode", &program)), 1);
}

TEST_F(DelegateInstanceTest, FunctionsOfOneModelWithStatesThatDifferAreRefused) {
  const std::string program =
      "function prefill\ninput x float32 [2]\nstate s float32 [2]\noutput y float32 [2] = "
      "accumulate s x\n"
      "function decode\ninput x float32 [3]\nstate s float32 [3]\noutput y float32 [3] = "
      "accumulate s x\n";
  const auto function = [](const std::string& name, int64_t count) {
    return blob::Function{.name = name,
                          .method = name,
                          .inputs = {floats("x", count)},
                          .outputs = {floats("y", count)},
                          .states = {{.tensor = floats("s", count), .initial_value_path = ""}}};
  };
  SharedStates shared;
  const auto load = [&](const std::string& name) {
    return DelegateInstance::create(
        call(program, {function("decode", 3), function("prefill", 2)}, name), name, options_,
        provider_, nullptr, {.states = &shared, .program = &shared});
  };
  const auto prefill = load("prefill");
  ASSERT_TRUE(prefill.ok());
  const auto decode = load("decode");
  ASSERT_FALSE(decode.ok());
  EXPECT_EQ(decode.status().code(), StatusCode::kCorruptData);
  EXPECT_THAT(decode.status().to_string(),
              HasSubstr("are not those of function prefill of method prefill"));
}

TEST_F(DelegateInstanceTest, StatesStartWithTheBlobsValuesAndResetToThem) {
  blob::DelegateCall call = counter();
  const float initial[2] = {100, -100};
  ASSERT_TRUE(call.blob.files.add_file("s.bin", Bytes(std::as_bytes(std::span(initial)))).ok());
  call.blob.functions[0].states[0].initial_value_path = "s.bin";
  auto instance = *create(call);
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 1});
  TestTensor y(ScalarType::Float, {2});
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
    EXPECT_THAT(y.values<float>(), ElementsAre(101, -99));
    ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
    EXPECT_THAT(y.values<float>(), ElementsAre(102, -98));
    ASSERT_TRUE(instance->reset_states().ok());
  }
  controls().fail_next(FakeStage::kResetState, engine_failure("no"));
  EXPECT_THAT(instance->reset_states().to_string(), HasSubstr("function main of method forward"));
}

// The stock delegate predicts again when a prediction failed, and the state is updated twice.
TEST_F(DelegateInstanceTest, AFailedExecutionThatIsRetriedUpdatesItsStateOnce) {
  auto instance = *create(counter());
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 10});
  TestTensor y(ScalarType::Float, {2});
  for (const FakeStage stage : {FakeStage::kExecute, FakeStage::kExecuteEnd}) {
    const int64_t before = controls().count(FakeStage::kExecute);
    controls().fail_next(stage, engine_failure("out of luck"));
    const Status status = instance->execute(Arguments({x.get(), &y}).span(), nullptr);
    EXPECT_EQ(status.code(), StatusCode::kEngineFailure);
    EXPECT_THAT(status.to_string(), HasSubstr("function main of method forward"));
    EXPECT_EQ(controls().count(FakeStage::kExecute), before + 1)
        << "the delegate itself never retries";
  }
  ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 10));
}

TEST_F(DelegateInstanceTest, AResultThatCannotBeHandedOverTakesItsStateUpdateBack) {
  auto instance = *create(counter(DataType::kInt8));
  TestTensor y(ScalarType::Char, {2});
  auto small = TestTensor::of<float>(ScalarType::Float, {2}, {1, 10});
  auto large = TestTensor::of<float>(ScalarType::Float, {2}, {1, 1000});
  ASSERT_TRUE(instance->execute(Arguments({small.get(), &y}).span(), nullptr).ok());
  const Status status = instance->execute(Arguments({large.get(), &y}).span(), nullptr);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.to_string(), HasSubstr("1010 at index [1] does not fit int8"));
  ASSERT_TRUE(instance->execute(Arguments({small.get(), &y}).span(), nullptr).ok());
  EXPECT_THAT(y.values<int8_t>(), ElementsAre(2, 20));
}

TEST_F(DelegateInstanceTest, StatesAreCopiedOnlyWhereAResultMayBeRefused) {
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 10});
  TestTensor y(ScalarType::Float, {2});
  auto instance = *create(counter());
  const int64_t before = controls().count(FakeStage::kCopyState);
  ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
  EXPECT_EQ(controls().count(FakeStage::kCopyState), before);
  auto narrow = *create(counter(DataType::kInt8));
  TestTensor bytes(ScalarType::Char, {2});
  ASSERT_TRUE(narrow->execute(Arguments({x.get(), &bytes}).span(), nullptr).ok());
  EXPECT_EQ(controls().count(FakeStage::kCopyState), before + 1);
  controls().fail_next(FakeStage::kCopyState, resource_exhausted("no memory"));
  const int64_t executions = controls().count(FakeStage::kExecute);
  EXPECT_EQ(narrow->execute(Arguments({x.get(), &bytes}).span(), nullptr).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(controls().count(FakeStage::kExecute), executions);
}

TEST_F(DelegateInstanceTest, TheFunctionIsTheNamedOneTheMethodsOrTheOnlyOne) {
  const std::string program =
      "function prefill\ninput x float32 [1]\noutput y float32 [1] = identity x\n"
      "function decode\ninput x float32 [1]\noutput y float32 [1] = add x x\n";
  const auto function = [&](const char* name, const char* method) {
    return blob::Function{.name = name,
                          .method = method,
                          .inputs = {floats("x", 1)},
                          .outputs = {floats("y", 1)},
                          .states = {}};
  };
  const std::vector<blob::Function> functions = {function("prefill", "first"),
                                                 function("decode", "second")};
  auto x = TestTensor::of<float>(ScalarType::Float, {1}, {21});
  TestTensor y(ScalarType::Float, {1});
  const auto run = [&](const blob::DelegateCall& call, const std::string& method) {
    auto instance = create(call, method);
    EXPECT_TRUE(instance.ok()) << instance.status().to_string();
    EXPECT_TRUE((*instance)->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
    return y.values<float>()[0];
  };
  EXPECT_EQ(run(call(program, functions, "decode"), "first"), 42);
  EXPECT_EQ(run(call(program, functions), "first"), 21);
  EXPECT_EQ(run(call(program, functions), "second"), 42);
  EXPECT_EQ(run(call(program, {function("decode", "second")}), "any"), 42);

  const Status none = create(call(program, functions), "third").status();
  EXPECT_EQ(none.code(), StatusCode::kCorruptData);
  EXPECT_THAT(none.message(), HasSubstr("first, second"));
  EXPECT_EQ(create(call(program, functions, "absent")).status().code(), StatusCode::kNotFound);
  // The blob knows a function that the package has not.
  EXPECT_EQ(create(call(program, {function("absent", "forward")})).status().code(),
            StatusCode::kNotFound);
}

TEST_F(DelegateInstanceTest, ABlobThatIsNotAboutItsModelIsRefusedAtInit) {
  blob::DelegateCall wrong = counter();
  wrong.blob.functions[0].inputs[0].name = "image";
  const Status status = create(wrong).status();
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_THAT(status.to_string(), HasSubstr("the model differs from what the blob says about it"));
  EXPECT_THAT(status.to_string(), HasSubstr("image"));
  wrong = counter();
  wrong.blob.functions[0].states.clear();
  EXPECT_EQ(create(wrong).status().code(), StatusCode::kCorruptData);
  wrong = counter();
  wrong.blob.compute_units = "quantum";
  EXPECT_EQ(create(wrong).status().code(), StatusCode::kCorruptData);
}

TEST_F(DelegateInstanceTest, FailuresOfEveryStageOfLoadingAreReported) {
  controls().fail_next(FakeStage::kLoad, unsupported("no such operation"));
  EXPECT_EQ(create(counter()).status().code(), StatusCode::kUnsupported);
  controls().fail_next(FakeStage::kMakeState, resource_exhausted("no memory"));
  EXPECT_EQ(create(counter()).status().code(), StatusCode::kResourceExhausted);
  options_.engine = "absent";
  EXPECT_EQ(create(counter()).status().code(), StatusCode::kNotFound);
}

TEST_F(DelegateInstanceTest, OptionsReachTheEngineAndTheBlobsRequestIsTheLastResort) {
  blob::DelegateCall asking = counter();
  asking.blob.compute_units = "cpu_and_gpu";
  options_.threads = 7;
  options_.numeric_mode = engine::NumericMode::kFloat16;
  ASSERT_TRUE(create(asking).ok());
  EXPECT_EQ(controls().last_load_options().threads, 7);
  EXPECT_EQ(controls().last_load_options().numeric_mode, engine::NumericMode::kFloat16);
  EXPECT_EQ(controls().last_load_options().compute_units, engine::ComputeUnits::kCpuAndGpu);
  EXPECT_EQ(controls().last_load_options().function_name, "main");
  options_.compute_units = engine::ComputeUnits::kCpuOnly;
  ASSERT_TRUE(create(asking).ok());
  EXPECT_EQ(controls().last_load_options().compute_units, engine::ComputeUnits::kCpuOnly);
}

TEST_F(DelegateInstanceTest, EventsReachTheTracer) {
  executorch::runtime::runtime_init();
  testing::RecordingTracer tracer;
  const blob::DelegateCall call = counter(DataType::kFloat64);
  auto instance = *DelegateInstance::create(call, "forward", options_, provider_, &tracer);
  EXPECT_THAT(tracer.event_names(), ElementsAre("load main"));
  tracer.events.clear();
  tracer.set_event_tracer_debug_level(
      executorch::runtime::EventTracerDebugLogLevel::kIntermediateOutputs);
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 10});
  TestTensor y(ScalarType::Double, {2});
  ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), &tracer).ok());
  EXPECT_THAT(tracer.event_names(), ElementsAre("y:fake", "execute main", "convert outputs"));
  EXPECT_EQ(tracer.events[0].metadata, R"({"operatorName":"fake"})");
  ASSERT_EQ(tracer.values.size(), 1u);
  EXPECT_EQ(tracer.values[0].name, "y:fake");
  for (const auto& event : tracer.events) EXPECT_LE(event.start, event.end);
}

TEST_F(DelegateInstanceTest, TwoThreadsOnOneInstanceTakeTurns) {
  auto instance = *create(counter());
  constexpr int kCalls = 200;
  const auto work = [&] {
    auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 2});
    TestTensor y(ScalarType::Float, {2});
    for (int i = 0; i < kCalls; ++i) {
      ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
      if (i % 50 == 49)
        ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
    }
  };
  std::thread a(work);
  std::thread b(work);
  a.join();
  b.join();
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {0, 0});
  TestTensor y(ScalarType::Float, {2});
  ASSERT_TRUE(instance->execute(Arguments({x.get(), &y}).span(), nullptr).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(2 * (kCalls + 4), 4 * (kCalls + 4)));
}

}  // namespace
}  // namespace coreml_delegate
