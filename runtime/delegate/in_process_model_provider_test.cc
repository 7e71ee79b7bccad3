#include "runtime/delegate/in_process_model_provider.h"

#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate {
namespace {

using engine::FakeStage;
using ::testing::HasSubstr;

constexpr char kProgram[] =
    "function main\ninput x float32 [2]\noutput y float32 [2] = identity x\noutput w float32 [1] = "
    "weight w.bin\n"
    "function other\ninput x float32 [2]\noutput y float32 [2] = add x x\n";

// A program in memory of its own.
struct Memory {
  std::string program = kProgram;
  std::string weight = "\x01\x02\x03\x04";
};

// A blob over the memory, which it shares.
blob::Blob open(const std::shared_ptr<Memory>& memory) {
  blob::Blob blob;
  blob.format = blob::Format::kFlattenedDirectory;
  EXPECT_TRUE(
      blob.files.add_file(engine::kFakeProgramFile, Bytes(as_bytes(memory->program), memory)).ok());
  EXPECT_TRUE(blob.files.add_file("w.bin", Bytes(as_bytes(memory->weight), memory)).ok());
  return blob;
}

class InProcessModelProviderTest : public ::testing::Test {
 protected:
  std::shared_ptr<engine::Model> load(const blob::Blob& blob, ModelRequest request = {}) {
    request.blob = &blob;
    if (request.engine == nullptr) request.engine = &engine_;
    auto model = provider_.load(request);
    EXPECT_TRUE(model.ok()) << model.status().to_string();
    return model.ok() ? *model : nullptr;
  }
  int64_t loads() { return engine_.controls().count(FakeStage::kLoad); }

  engine::FakeEngine engine_;
  InProcessModelProvider provider_;
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
};

TEST_F(InProcessModelProviderTest, TheSameBytesAreCompiledOnceWhileInUse) {
  const blob::Blob first = open(memory_);
  const blob::Blob second = open(memory_);
  std::shared_ptr<engine::Model> a = load(first);
  std::shared_ptr<engine::Model> b = load(second);
  EXPECT_EQ(a, b);
  EXPECT_EQ(loads(), 1);
  EXPECT_EQ(provider_.live_models(), 1u);
  a.reset();
  EXPECT_EQ(load(first), b);
  b.reset();
  EXPECT_EQ(provider_.live_models(), 0u);
  EXPECT_EQ(engine_.controls().live_models(), 0);
  load(first);
  EXPECT_EQ(loads(), 2);
}

TEST_F(InProcessModelProviderTest, WhatTheModelDependsOnIsPartOfTheKey) {
  const blob::Blob blob = open(memory_);
  engine::FakeEngine other_engine({.name = "other"});
  const std::vector<std::shared_ptr<engine::Model>> models = {
      load(blob),
      load(blob, {.options = {.function_name = "other"}}),
      load(blob, {.engine = &other_engine}),
      load(blob, {.options = {.numeric_mode = engine::NumericMode::kFloat16}}),
      load(blob, {.options = {.compute_units = engine::ComputeUnits::kCpuOnly}}),
      load(blob, {.options = {.threads = 2}}),
  };
  for (size_t i = 0; i < models.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(models[i], models[j]) << i << " and " << j;
  }
  EXPECT_EQ(engine_.controls().last_load_options().threads, 2);
  EXPECT_EQ(provider_.live_models(), models.size());
}

TEST_F(InProcessModelProviderTest, EqualBytesElsewhereAreAnotherModelUnlessAskedFor) {
  const auto elsewhere = std::make_shared<Memory>(*memory_);
  const blob::Blob first = open(memory_);
  const blob::Blob second = open(elsewhere);
  const auto a = load(first);
  EXPECT_NE(load(second), a)
      << "the second model's weights may lie in memory that goes before its user does";
  const auto c = load(first, {.share_across_programs = true});
  const auto d = load(second, {.share_across_programs = true});
  EXPECT_EQ(c, d);
  // Another content is never shared, whatever its header claims.
  const auto changed = std::make_shared<Memory>(*memory_);
  changed->weight[0] = 9;
  blob::Blob third = open(changed);
  third.content_id = first.content_id;
  EXPECT_NE(load(third, {.share_across_programs = true}), c);
}

TEST_F(InProcessModelProviderTest, AnAddressIsNoProofOnceItsMemoryWasGivenBack) {
  // An engine that copies weights lets go of the program's memory; then another program may come to
  // lie there.
  engine::FakeEngine copying({.name = "copying", .borrows_weights = false});
  auto owner = std::make_shared<int>(0);
  Memory place;
  const auto open_here = [&](const std::shared_ptr<int>& holder) {
    blob::Blob blob;
    EXPECT_TRUE(
        blob.files.add_file(engine::kFakeProgramFile, Bytes(as_bytes(place.program), holder)).ok());
    EXPECT_TRUE(blob.files.add_file("w.bin", Bytes(as_bytes(place.weight), holder)).ok());
    return blob;
  };
  std::shared_ptr<engine::Model> first;
  {
    const blob::Blob blob = open_here(owner);
    first = load(blob, {.engine = &copying});
  }
  owner.reset();
  place.weight = "\x09\x09\x09\x09";
  const auto second_owner = std::make_shared<int>(0);
  const blob::Blob blob = open_here(second_owner);
  EXPECT_NE(load(blob, {.engine = &copying}), first);
}

TEST_F(InProcessModelProviderTest, ThreadsThatAskAtOnceCompileOnce) {
  engine::Latch latch;
  engine_.controls().set_hook(FakeStage::kLoad, [&] { latch.wait(); });
  const blob::Blob blob = open(memory_);
  std::vector<std::shared_ptr<engine::Model>> models(4);
  std::vector<std::thread> threads;
  for (auto& model : models) threads.emplace_back([&] { model = load(blob); });
  latch.wait_for_waiters(1);
  latch.open();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(loads(), 1);
  for (const auto& model : models) EXPECT_EQ(model, models[0]);
}

TEST_F(InProcessModelProviderTest, DifferentModelsLoadAtTheSameTime) {
  engine::Latch latch;
  engine_.controls().set_hook(FakeStage::kLoad, [&] { latch.wait(); });
  const blob::Blob first = open(memory_);
  const blob::Blob second = open(std::make_shared<Memory>());
  std::thread a([&] { load(first); });
  std::thread b([&] { load(second); });
  latch.wait_for_waiters(2);  // Would wait for ever if one held the other up.
  latch.open();
  a.join();
  b.join();
}

TEST_F(InProcessModelProviderTest, AFailureIsReportedAndNotRemembered) {
  engine_.controls().fail_next(FakeStage::kLoad, unsupported("no such operation", "op_3"));
  const blob::Blob blob = open(memory_);
  const Result<std::shared_ptr<engine::Model>> failed =
      provider_.load({.blob = &blob, .engine = &engine_, .options = {.function_name = "main"}});
  EXPECT_EQ(failed.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(failed.status().to_string(), HasSubstr("the engine fake could not load the model"));
  EXPECT_THAT(failed.status().to_string(), HasSubstr("function main of the stock payload's model"));
  EXPECT_THAT(failed.status().to_string(), HasSubstr("op_3"));
  EXPECT_EQ(provider_.live_models(), 0u);
  EXPECT_NE(load(blob, {.options = {.function_name = "main"}}), nullptr);
}

TEST_F(InProcessModelProviderTest, AThreadThatWaitedForAFailureTriesItself) {
  engine::Latch latch;
  std::atomic<bool> first = true;
  engine_.controls().set_hook(FakeStage::kLoad, [&] {
    if (first.exchange(false)) latch.wait();
  });
  engine_.controls().fail_next(FakeStage::kLoad, resource_exhausted("no memory just now"), 1);
  const blob::Blob blob = open(memory_);
  std::thread failing([&] {
    EXPECT_EQ(provider_.load({.blob = &blob, .engine = &engine_}).status().code(),
              StatusCode::kResourceExhausted);
  });
  latch.wait_for_waiters(1);
  std::thread waiting([&] { EXPECT_NE(load(blob), nullptr); });
  latch.open();
  failing.join();
  waiting.join();
  EXPECT_EQ(loads(), 2);
}

TEST_F(InProcessModelProviderTest, AnExceptionOfTheEngineDoesNotBlockTheModelForEver) {
  const blob::Blob blob = open(memory_);
  ModelRequest request;
  request.blob = &blob;
  request.engine = &engine_;
  engine_.controls().set_hook(FakeStage::kLoad, [] { throw std::bad_alloc(); });
  EXPECT_THROW((void)provider_.load(request), std::bad_alloc);
  engine_.controls().set_hook(FakeStage::kLoad, nullptr);
  EXPECT_EQ(provider_.live_models(), 0u);
  EXPECT_NE(load(blob), nullptr);
}

TEST_F(InProcessModelProviderTest, TheKindReachesTheEngine) {
  blob::Blob blob = open(memory_);
  blob.kind = blob::Kind::kCompiled;
  EXPECT_EQ(provider_.load({.blob = &blob, .engine = &engine_}).status().code(),
            StatusCode::kUnsupported);
}

}  // namespace
}  // namespace coreml_delegate
