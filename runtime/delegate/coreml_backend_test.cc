// The backend as ExecuTorch calls it, with payloads as they are in programs.

#include "runtime/delegate/coreml_backend.h"

#include <executorch/runtime/core/memory_allocator.h>
#include <executorch/runtime/platform/runtime.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/logging.h"
#include "blob/byte_sink.h"
#include "blob/coreml_blob_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/error_map.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/delegate/testing_support.h"

namespace coreml_delegate {
namespace {

using engine::FakeStage;
using executorch::aten::ScalarType;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::BackendOption;
using executorch::runtime::BackendOptionContext;
using executorch::runtime::BackendOptions;
using executorch::runtime::CompileSpec;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using testing::Arguments;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TestNamedData;
using testing::TestTensor;

constexpr char kDouble[] = "function main\ninput x float32 [2]\noutput y float32 [2] = add x x\n";
constexpr char kCounter[] =
    "function main\ninput x float32 [2]\nstate s float32 [2]\noutput y float32 [2] = accumulate s "
    "x\n";

void drop_message(LogLevel, const char*, int, std::string_view) {}

class CoreMLBackendTest : public ::testing::Test {
 protected:
  CoreMLBackendTest()
      : engine_(testing::registered_fake_engine()),
        backend_(std::make_unique<InProcessModelProvider>()) {
    set_log_sink(drop_message);  // Failures are what is tested here.
    set("engine", "fake");
  }
  ~CoreMLBackendTest() override { set_log_sink(nullptr); }

  template <size_t N, typename T>
  Error set(const char (&key)[N], T value) {
    BackendOptions<1> options;
    (void)options.set_option(key, value);
    BackendOptionContext context;
    return backend_.set_option(context, options.view());
  }

  // The payload in heap memory of its own, freed when the delegate lets go: a use after that is
  // seen by the sanitizers.
  FreeableBuffer buffer(const std::string& payload) {
    auto* copy = new std::string(payload);
    return FreeableBuffer(
        copy->data(), copy->size(),
        [](void* context, void*, size_t) {
          auto* self = static_cast<std::pair<CoreMLBackendTest*, std::string*>*>(context);
          ++self->first->freed_;
          delete self->second;
          delete self;
        },
        new std::pair<CoreMLBackendTest*, std::string*>(this, copy));
  }

  struct InitOptions {
    const char* method = "forward";
    const executorch::runtime::NamedDataMap* named_data = nullptr;
    executorch::runtime::Span<const BackendOption> runtime_specs = {};
    std::vector<CompileSpec> compile_specs = {};
  };
  executorch::runtime::Result<DelegateHandle*> init(const std::string& payload,
                                                    InitOptions options) {
    FreeableBuffer processed = buffer(payload);
    BackendInitContext context(nullptr, nullptr, options.method, options.named_data,
                               options.runtime_specs);
    return backend_.init(context, &processed,
                         {options.compile_specs.data(), options.compile_specs.size()});
  }
  executorch::runtime::Result<DelegateHandle*> init(const std::string& payload) {
    return init(payload, {});
  }

  Error execute(DelegateHandle* handle, Arguments args) const {
    BackendExecutionContext context;
    return backend_.execute(context, handle, args.span());
  }
  std::vector<float> run(DelegateHandle* handle, std::vector<float> x_values) const {
    auto x = TestTensor::of<float>(ScalarType::Float, {2}, x_values);
    TestTensor y(ScalarType::Float, {2});
    EXPECT_EQ(execute(handle, {x.get(), &y}), Error::Ok) << last_error_message();
    return y.values<float>();
  }

  engine::FakeEngine& engine_;
  CoreMLBackend backend_;
  std::atomic<int> freed_ = 0;
};

TEST_F(CoreMLBackendTest, AStockPayloadLoadsRunsAndIsDestroyed) {
  ASSERT_TRUE(backend_.is_available());
  auto handle = init(testing::stock_payload(kDouble, {"x"}, {"y"}));
  ASSERT_TRUE(handle.ok()) << last_error_message();
  EXPECT_THAT(run(handle.get(), {1, 2}), ElementsAre(2, 4));
  const int64_t models = engine_.controls().live_models();
  backend_.destroy(handle.get());
  EXPECT_EQ(engine_.controls().live_models(), models - 1);
}

TEST_F(CoreMLBackendTest, TheProcessedBytesLiveWhileTheirWeightsAreUsedAndNoLonger) {
  const std::string program = "function main\noutput w float32 [2] = weight w.bin\n";
  const float weight[2] = {3, 4};
  const std::string bytes(reinterpret_cast<const char*>(weight), sizeof(weight));
  auto handle = init(testing::stock_payload(program, {}, {"w"}, {{"w.bin", bytes}}));
  ASSERT_TRUE(handle.ok()) << last_error_message();
  EXPECT_EQ(freed_, 0) << "the engine uses the weights where they lie";
  TestTensor w(ScalarType::Float, {2});
  ASSERT_EQ(execute(handle.get(), {&w}), Error::Ok);
  EXPECT_THAT(w.values<float>(), ElementsAre(3, 4));
  backend_.destroy(handle.get());
  EXPECT_EQ(freed_, 1);
  // A model that uses nothing of the payload gives it back at once.
  auto independent = init(testing::stock_payload(kDouble, {"x"}, {"y"}));
  EXPECT_EQ(freed_, 2);
  EXPECT_THAT(run(independent.get(), {1, 2}), ElementsAre(2, 4));
  backend_.destroy(independent.get());
}

TEST_F(CoreMLBackendTest, MethodsThatShareAStockPayloadInNamedData) {
  TestNamedData named_data;
  named_data.entries = {
      {"coreml_0", testing::stock_multi_method_payload(
                       "function prefill\ninput x float32 [2]\noutput y float32 [2] = identity x\n"
                       "function decode\ninput a float32 [2]\noutput b float32 [2] = add a a\n",
                       {{"decode", {"a"}, {"b"}}, {"prefill", {"x"}, {"y"}}})}};
  auto prefill = init(testing::stock_reference("coreml_0", "prefill"),
                      {.method = "prefill", .named_data = &named_data});
  ASSERT_TRUE(prefill.ok()) << last_error_message();
  auto decode = init(testing::stock_reference("coreml_0", "decode"),
                     {.method = "decode", .named_data = &named_data});
  ASSERT_TRUE(decode.ok()) << last_error_message();
  EXPECT_THAT(run(prefill.get(), {1, 2}), ElementsAre(1, 2));
  EXPECT_THAT(run(decode.get(), {1, 2}), ElementsAre(2, 4));
  backend_.destroy(prefill.get());
  EXPECT_THAT(run(decode.get(), {3, 4}), ElementsAre(6, 8));
  backend_.destroy(decode.get());
  EXPECT_EQ(named_data.buffers_given, named_data.buffers_freed);

  EXPECT_EQ(init(testing::stock_reference("absent", "decode"), {.named_data = &named_data}).error(),
            Error::NotFound);
  EXPECT_THAT(last_error_message(), HasSubstr("absent"));
  EXPECT_EQ(
      init(testing::stock_reference("coreml_0", "absent"), {.named_data = &named_data}).error(),
      Error::InvalidProgram);
  EXPECT_THAT(last_error_message(), HasSubstr("absent"));
  EXPECT_NE(init(testing::stock_reference("coreml_0", "decode")).error(), Error::Ok)
      << "a program without named data";
}

class BlobOfOursTest : public CoreMLBackendTest {
 protected:
  static blob::BlobDescription description() {
    blob::BlobDescription description;
    description.specification_version = 9;
    description.functions = {
        {.name = "main",
         .method = "forward",
         .inputs =
             {{.name = "x", .dtype = DataType::kInt64, .shape = {{2, 2}}, .enumerated_shapes = {}}},
         .outputs =
             {{.name = "y", .dtype = DataType::kBool, .shape = {{2, 2}}, .enumerated_shapes = {}}},
         .states = {}}};
    description.compute_units = "cpu_and_ne";
    description.producer = "test";
    return description;
  }
  static std::string write(const blob::BlobDescription& description, const std::string& program) {
    auto tree = engine::make_fake_package(program);
    auto writer = blob::CoreMLBlobWriter::create(description, *tree);
    EXPECT_TRUE(writer.ok()) << writer.status().to_string();
    std::vector<std::byte> bytes;
    blob::VectorSink sink(bytes);
    EXPECT_TRUE(writer->write(sink).ok());
    return std::string(as_text(bytes));
  }
  static constexpr char kPackage[] =
      "function main\ninput x int32 [2]\noutput y float32 [2] = add x x\n";
};

TEST_F(BlobOfOursTest, ABlobLoadsRunsAndIsHeldToItsDtypes) {
  auto handle = init(write(description(), kPackage));
  ASSERT_TRUE(handle.ok()) << last_error_message();
  EXPECT_EQ(engine_.controls().last_load_options().compute_units,
            engine::ComputeUnits::kCpuAndNeuralEngine);
  auto x = TestTensor::of<int64_t>(ScalarType::Long, {2}, {0, 7});
  TestTensor y(ScalarType::Bool, {2});
  ASSERT_EQ(execute(handle.get(), {x.get(), &y}), Error::Ok) << last_error_message();
  EXPECT_THAT(y.values<uint8_t>(), ElementsAre(0, 1));
  auto wrong = TestTensor::of<int32_t>(ScalarType::Int, {2}, {0, 7});
  EXPECT_EQ(execute(handle.get(), {wrong.get(), &y}), Error::InvalidArgument);
  EXPECT_THAT(last_error_message(), HasSubstr("input x (argument 0)"));
  backend_.destroy(handle.get());
}

TEST_F(BlobOfOursTest, AReferenceLeadsToABlobInNamedData) {
  TestNamedData named_data;
  named_data.entries = {{"blob", write(description(), kPackage)}};
  const auto reference = blob::encode_reference("blob", "main");
  ASSERT_TRUE(reference.ok());
  auto handle = init(std::string(as_text(*reference)), {.named_data = &named_data});
  ASSERT_TRUE(handle.ok()) << last_error_message();
  auto x = TestTensor::of<int64_t>(ScalarType::Long, {2}, {0, 7});
  TestTensor y(ScalarType::Bool, {2});
  EXPECT_EQ(execute(handle.get(), {x.get(), &y}), Error::Ok);
  backend_.destroy(handle.get());
  EXPECT_EQ(named_data.buffers_freed, named_data.buffers_given);
}

// Every byte changed, every length: an error or a working delegate, never anything else. Run under
// the sanitizers.
TEST_F(BlobOfOursTest, DamagedBytesGiveErrors) {
  const std::string payloads[] = {write(description(), kPackage),
                                  testing::stock_payload(kDouble, {"x"}, {"y"}),
                                  testing::stock_reference("blob", "main")};
  TestNamedData named_data;
  named_data.entries = {{"blob", payloads[1]}};
  std::mt19937 random(20260802);
  int refused = 0;
  for (const std::string& payload : payloads) {
    for (size_t i = 0; i < payload.size(); ++i) {
      std::string damaged = payload;
      damaged[i] = static_cast<char>(damaged[i] ^ static_cast<char>(1u << (random() % 8)));
      auto handle = init(damaged, {.named_data = &named_data});
      if (handle.ok())
        backend_.destroy(handle.get());
      else
        ++refused;
    }
    for (size_t length = 0; length < payload.size(); length += 7) {
      auto handle = init(payload.substr(0, length), {.named_data = &named_data});
      if (handle.ok())
        backend_.destroy(handle.get());
      else
        ++refused;
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_EQ(init("").error(), Error::InvalidProgram);
  EXPECT_EQ(init("not a payload of any kind").ok(), false);
}

TEST_F(CoreMLBackendTest, EveryBufferIsFreedOnceWhateverFails) {
  const std::string payload = testing::stock_payload(kDouble, {"x"}, {"y"});
  engine_.controls().fail_next(FakeStage::kLoad, unsupported("no such operation", "op_9"));
  EXPECT_EQ(init(payload).error(), Error::NotSupported);
  EXPECT_THAT(last_error_message(), HasSubstr("op_9"));
  EXPECT_THAT(last_error_message(),
              HasSubstr("a Core ML delegate call could not be loaded [forward]"));
  EXPECT_EQ(freed_, 1);
  EXPECT_FALSE(init("garbage").ok());
  EXPECT_EQ(freed_, 2);
  EXPECT_FALSE(init(testing::stock_payload(kDouble, {"image"}, {"y"})).ok());
  EXPECT_EQ(freed_, 3);
}

TEST_F(CoreMLBackendTest, FailuresOfExecutionHaveTheirErrors) {
  auto handle = init(testing::stock_payload(kDouble, {"x"}, {"y"}));
  ASSERT_TRUE(handle.ok());
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {1, 2});
  TestTensor y(ScalarType::Float, {2});
  engine_.controls().fail_next(FakeStage::kExecute, engine_failure("out of luck"));
  EXPECT_EQ(execute(handle.get(), {x.get(), &y}), Error::DelegateInvalidHandle);
  EXPECT_THAT(last_error_message(), HasSubstr("out of luck"));
  engine_.controls().fail_next(FakeStage::kExecute, resource_exhausted("no memory"));
  EXPECT_EQ(execute(handle.get(), {x.get(), &y}), Error::OutOfResources);
  EXPECT_EQ(execute(handle.get(), {x.get()}), Error::InvalidArgument);
  EXPECT_EQ(execute(nullptr, {x.get(), &y}), Error::InvalidState);
  EXPECT_EQ(execute(handle.get(), {x.get(), &y}), Error::Ok);
  backend_.destroy(handle.get());
  backend_.destroy(nullptr);
}

TEST_F(CoreMLBackendTest, AModelIsCompiledByTheHelperThatTheCallerNames) {
  const std::string payload = testing::stock_payload(kDouble, {"x"}, {"y"});
  const int64_t loads = engine_.controls().count(engine::FakeStage::kLoad);
  EXPECT_EQ(set("compile_helper", "runtime/engine/helper/testing_fake_helper"), Error::Ok);
  auto handle = init(payload);
  ASSERT_TRUE(handle.ok()) << last_error_message();
  EXPECT_THAT(run(handle.get(), {1, 2}), ElementsAre(2, 4));
  backend_.destroy(handle.get());
  // One load here, of what was compiled there.
  EXPECT_EQ(engine_.controls().count(engine::FakeStage::kLoad), loads + 1);

  BackendOptions<1> at_load;
  (void)at_load.set_option("compile_helper", "/nonexistent/helper");
  InitOptions options;
  options.runtime_specs = {at_load.view().data(), 1};
  EXPECT_EQ(init(payload, options).error(), Error::NotFound);
  EXPECT_THAT(last_error_message(), HasSubstr("build //runtime:coreml_compile_helper"));

  (void)at_load.set_option("compile_helper", "runtime/engine/helper/testing_bad_helper");
  options.runtime_specs = {at_load.view().data(), 1};
  EXPECT_EQ(init(payload, options).error(), Error::DelegateInvalidHandle);
  EXPECT_THAT(last_error_message(), HasSubstr("said nothing about this model"));
}

// A program that anybody may have written must not start one of its choice.
TEST_F(CoreMLBackendTest, ACompileHelperInAProgramHasNoEffect) {
  const std::string program = "/nonexistent/helper";
  const std::vector<CompileSpec> specs = {
      {"compile_helper", {const_cast<char*>(program.data()), program.size()}}};
  InitOptions options;
  options.compile_specs = specs;
  auto handle = init(testing::stock_payload(kDouble, {"x"}, {"y"}), options);
  ASSERT_TRUE(handle.ok()) << last_error_message();
  EXPECT_THAT(run(handle.get(), {1, 2}), ElementsAre(2, 4));
  backend_.destroy(handle.get());
}

TEST_F(CoreMLBackendTest, LoadOptionsBeatDefaultsBeatCompileSpecs) {
  const std::string payload = testing::stock_payload(kDouble, {"x"}, {"y"});
  std::string units = "cpu_only";
  const std::vector<CompileSpec> specs = {{"compute_units", {units.data(), units.size()}}};
  const auto compute_units = [&](InitOptions options) {
    options.compile_specs = specs;
    auto handle = init(payload, options);
    EXPECT_TRUE(handle.ok()) << last_error_message();
    backend_.destroy(handle.get());
    return engine_.controls().last_load_options().compute_units;
  };
  EXPECT_EQ(compute_units({}), engine::ComputeUnits::kCpuOnly);
  ASSERT_EQ(set("compute_unit", "cpu_and_gpu"), Error::Ok);
  EXPECT_EQ(compute_units({}), engine::ComputeUnits::kCpuAndGpu);
  BackendOptions<1> at_load;
  (void)at_load.set_option("compute_unit", "cpu_and_ne");
  EXPECT_EQ(compute_units({.runtime_specs = {at_load.view().data(), 1}}),
            engine::ComputeUnits::kCpuAndNeuralEngine);
  ASSERT_EQ(set("compute_unit", ""), Error::Ok);
  EXPECT_EQ(compute_units({}), engine::ComputeUnits::kCpuOnly);
}

TEST_F(CoreMLBackendTest, BadOptionsAreRefusedByNameAndChangeNothing) {
  BackendOptions<3> options;
  (void)options.set_option("threads", 3);
  (void)options.set_option("colour", "red");
  BackendOptionContext context;
  EXPECT_EQ(backend_.set_option(context, options.view()), Error::InvalidArgument);
  EXPECT_THAT(last_error_message(), HasSubstr("colour"));
  EXPECT_EQ(set("engine", "absent"), Error::NotFound);
  EXPECT_THAT(last_error_message(), HasSubstr("absent"));
  BackendOptions<2> read;
  (void)read.set_option("threads", 99);
  (void)read.set_option("engine", "");
  auto view = read.view();
  ASSERT_EQ(backend_.get_option(context, view), Error::Ok);
  int threads = -1;
  const char* engine = nullptr;
  (void)read.get_option("threads", threads);
  (void)read.get_option("engine", engine);
  EXPECT_EQ(threads, 0);
  EXPECT_STREQ(engine, "fake");
  (void)read.set_option("threads", 99);
  BackendOptions<1> unknown;
  (void)unknown.set_option("colour", 1);
  view = unknown.view();
  EXPECT_EQ(backend_.get_option(context, view), Error::InvalidArgument);

  BackendOptions<1> at_load;
  (void)at_load.set_option("colour", "red");
  EXPECT_EQ(init(testing::stock_payload(kDouble, {"x"}, {"y"}),
                 {.runtime_specs = {at_load.view().data(), 1}})
                .error(),
            Error::InvalidArgument);
}

TEST_F(CoreMLBackendTest, StatesAreResetByMethodOrAllTogether) {
  const std::string payload = testing::stock_payload(kCounter, {"x"}, {"y"});
  auto first = init(payload, {.method = "first"});
  auto second = init(payload, {.method = "second"});
  ASSERT_TRUE(first.ok() && second.ok()) << last_error_message();
  run(first.get(), {1, 1});
  run(second.get(), {1, 1});
  ASSERT_EQ(set("reset_states", "first"), Error::Ok);
  EXPECT_THAT(run(first.get(), {1, 1}), ElementsAre(1, 1));
  EXPECT_THAT(run(second.get(), {1, 1}), ElementsAre(2, 2));
  ASSERT_EQ(set("reset_states", true), Error::Ok);
  EXPECT_THAT(run(first.get(), {1, 1}), ElementsAre(1, 1));
  EXPECT_THAT(run(second.get(), {1, 1}), ElementsAre(1, 1));
  EXPECT_EQ(set("reset_states", "third"), Error::NotFound);
  EXPECT_THAT(last_error_message(), HasSubstr("third"));
  backend_.destroy(first.get());
  backend_.destroy(second.get());
}

TEST_F(CoreMLBackendTest, HandlesAreInitialisedExecutedAndDestroyedFromManyThreads) {
  const std::string payload = testing::stock_payload(kCounter, {"x"}, {"y"});
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        auto handle = init(payload);
        ASSERT_TRUE(handle.ok()) << last_error_message();
        const auto step = static_cast<float>(t + 1);
        for (int call = 1; call <= 5; ++call) {
          ASSERT_THAT(run(handle.get(), {step, 0}),
                      ElementsAre(step * static_cast<float>(call), 0));
        }
        if (t == 0) (void)set("threads", i);
        if (t == 1) (void)set("reset_states", "nobody");
        backend_.destroy(handle.get());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(freed_, 120);
}

TEST_F(CoreMLBackendTest, ExecutionsOfDifferentHandlesRunAtOnceOfOneHandleInTurn) {
  const std::string payload = testing::stock_payload(kDouble, {"x"}, {"y"});
  auto a = init(payload);
  auto b = init(payload);
  ASSERT_TRUE(a.ok() && b.ok());
  {
    engine::Latch latch;
    engine_.controls().set_hook(FakeStage::kExecute, [&] { latch.wait(); });
    std::thread on_a([&] { run(a.get(), {1, 2}); });
    std::thread on_b([&] { run(b.get(), {3, 4}); });
    latch.wait_for_waiters(2);  // Both are within the engine.
    latch.open();
    on_a.join();
    on_b.join();
  }
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  engine_.controls().set_hook(FakeStage::kExecute, [&] {
    if (++inside > 1) overlapped = true;
    std::this_thread::yield();
    --inside;
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) ASSERT_THAT(run(a.get(), {1, 2}), ElementsAre(2, 4));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(overlapped);
  engine_.controls().set_hook(FakeStage::kExecute, nullptr);
  backend_.destroy(a.get());
  backend_.destroy(b.get());
}

TEST_F(CoreMLBackendTest, AResetMayOverlapTheEndOfItsMethod) {
  const std::string payload = testing::stock_payload(kCounter, {"x"}, {"y"});
  auto handle = init(payload);
  ASSERT_TRUE(handle.ok());
  engine::Latch latch;
  engine_.controls().set_hook(FakeStage::kResetState, [&] { latch.wait(); });
  std::thread resetting([&] { EXPECT_EQ(set("reset_states", "forward"), Error::Ok); });
  latch.wait_for_waiters(1);
  backend_.destroy(handle.get());
  latch.open();
  resetting.join();
  engine_.controls().set_hook(FakeStage::kResetState, nullptr);
}

}  // namespace
}  // namespace coreml_delegate
