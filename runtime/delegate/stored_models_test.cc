#include "runtime/delegate/stored_models.h"

#include <memory>
#include <string>

#include "base/file.h"
#include "blob/blob.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/delegate/warm_up.h"
#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate {
namespace {

using engine::FakeStage;
using ::testing::HasSubstr;

constexpr char kProgram[] =
    "function main\ninput x float32 [2]\noutput y float32 [2] = identity x\noutput w float32 [1] = "
    "weight w.bin\n"
    "function other\ninput x float32 [2]\noutput y float32 [2] = add x x\n";

class StoredModelsTest : public ::testing::Test {
 protected:
  StoredModelsTest()
      : folder_(*real_file_system().make_unique_directory(::testing::TempDir(), "stored.")) {}
  ~StoredModelsTest() override { EXPECT_TRUE(real_file_system().remove_tree(folder_).ok()); }

  blob::Blob open_blob(const std::string& weight = "abcd") {
    blob::Blob blob;
    blob.format = blob::Format::kFlattenedDirectory;
    const auto owner = std::make_shared<std::string>(weight);
    EXPECT_TRUE(blob.files.add_file(engine::kFakeProgramFile, Bytes(as_bytes(kProgram))).ok());
    EXPECT_TRUE(blob.files.add_file("w.bin", Bytes(as_bytes(*owner), owner)).ok());
    return blob;
  }
  // Through a provider of its own: as another process would.
  Result<std::shared_ptr<engine::Model>> load(const blob::Blob& blob, ModelRequest request = {}) {
    provider_ = std::make_unique<InProcessModelProvider>();
    request.blob = &blob;
    if (request.engine == nullptr) request.engine = &engine_;
    if (request.cache_dir.empty()) request.cache_dir = folder_;
    return provider_->load(request);
  }
  int64_t compilations() { return engine_.controls().count(FakeStage::kCompile); }
  std::string weight_of(engine::Model& model) {
    const int64_t two[] = {2};
    const int64_t one[] = {1};
    float x[2] = {1, 2};
    float y[2] = {};
    std::string w(4, '\0');
    int64_t y_shape[] = {2};
    int64_t w_shape[] = {1};
    const engine::ConstTensorView inputs[] = {
        {.dtype = DataType::kFloat32, .shape = two, .strides = one, .data = x}};
    engine::TensorView outputs[] = {{.dtype = DataType::kFloat32,
                                     .shape = y_shape,
                                     .strides = {},
                                     .data = y,
                                     .capacity = sizeof(y)},
                                    {.dtype = DataType::kFloat32,
                                     .shape = w_shape,
                                     .strides = {},
                                     .data = w.data(),
                                     .capacity = 4}};
    const Status executed = model.execute(inputs, outputs, {});
    EXPECT_TRUE(executed.ok()) << executed.to_string();
    return w;
  }

  const std::string folder_;
  engine::FakeEngine engine_;
  std::unique_ptr<InProcessModelProvider> provider_;
};

// The helper fills the store as this process does, and an entry is found whoever made it.
TEST_F(StoredModelsTest, TheHelperCompilesIntoTheStore) {
  const engine::HelperProcess helper{.program = "runtime/engine/helper/testing_fake_helper"};
  const engine::HelperProcess missing{.program = "/nonexistent/helper"};
  const auto failed = load(open_blob(), {.helper = missing});
  EXPECT_EQ(failed.status().code(), StatusCode::kNotFound) << failed.status().to_string();
  for (const engine::HelperProcess& used : {helper, missing, engine::HelperProcess()}) {
    const auto model = load(open_blob(), {.helper = used});
    ASSERT_TRUE(model.ok()) << model.status().to_string();
    EXPECT_EQ(weight_of(**model), "abcd");
  }
  EXPECT_EQ(compilations(), 0);
  const auto other = load(open_blob("efgh"));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(compilations(), 1);
  EXPECT_TRUE(load(open_blob("efgh"), {.helper = missing}).ok());
}

// Where the store has no use, nothing is compiled here either.
TEST_F(StoredModelsTest, TheHelperCompilesWithoutAStoreToo) {
  const auto model = load(
      open_blob(), {.cache_dir = "/dev/null/cache", .helper = {.program = "/nonexistent/helper"}});
  EXPECT_EQ(model.status().code(), StatusCode::kNotFound) << model.status().to_string();
  EXPECT_EQ(compilations(), 0);
}

TEST_F(StoredModelsTest, ASecondProcessDoesNotCompile) {
  for (int i = 0; i < 3; ++i) {
    const auto model = load(open_blob());
    ASSERT_TRUE(model.ok()) << model.status().to_string();
    EXPECT_EQ(weight_of(**model), "abcd");
  }
  EXPECT_EQ(compilations(), 1);
}

TEST_F(StoredModelsTest, WithoutAFolderNothingIsKept) {
  provider_ = std::make_unique<InProcessModelProvider>();
  const blob::Blob blob = open_blob();
  ModelRequest request;
  request.blob = &blob;
  request.engine = &engine_;
  EXPECT_TRUE(provider_->load(request).ok());
  EXPECT_EQ(compilations(), 0);
}

TEST_F(StoredModelsTest, WhatTheModelDependsOnIsPartOfTheKey) {
  engine::FakeEngine newer({.fingerprint = "fake 2"});
  EXPECT_TRUE(load(open_blob()).ok());
  EXPECT_TRUE(load(open_blob("efgh")).ok());
  EXPECT_TRUE(load(open_blob(), {.options = {.function_name = "other"}}).ok());
  EXPECT_TRUE(load(open_blob(), {.options = {.numeric_mode = engine::NumericMode::kFloat16}}).ok());
  EXPECT_EQ(compilations(), 4);
  // What the engine does not compile for makes no other entry; it reaches the load all the same.
  EXPECT_TRUE(
      load(open_blob(), {.options = {.compute_units = engine::ComputeUnits::kCpuOnly}}).ok());
  EXPECT_EQ(engine_.controls().last_load_options().compute_units, engine::ComputeUnits::kCpuOnly);
  EXPECT_TRUE(load(open_blob(), {.options = {.threads = 2}}).ok());
  EXPECT_EQ(engine_.controls().last_load_options().threads, 2);
  EXPECT_EQ(compilations(), 4);
  EXPECT_TRUE(load(open_blob(), {.engine = &newer}).ok());
  EXPECT_EQ(newer.controls().count(FakeStage::kCompile), 1);
}

TEST_F(StoredModelsTest, AClaimedIdentifierIsNotPublished) {
  blob::Blob liar = open_blob("evil");
  liar.content_id = *blob::verify_content(open_blob("abcd"));
  const auto refused = load(liar);
  EXPECT_EQ(refused.status().code(), StatusCode::kCorruptData) << refused.status().to_string();
  const auto model = load(open_blob("abcd"));
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(weight_of(**model), "abcd");
}

TEST_F(StoredModelsTest, AnEntryTheEngineRefusesIsCompiledAgain) {
  EXPECT_TRUE(load(open_blob()).ok());
  engine_.controls().fail_next(FakeStage::kLoad, corrupt_data("a bit is wrong"));
  const auto model = load(open_blob());
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ(weight_of(**model), "abcd");
  EXPECT_EQ(compilations(), 2);
  EXPECT_EQ(provider_->stored_models().stores(folder_)->front()->stats().damaged, 1u);
}

TEST_F(StoredModelsTest, AnEngineThatCannotLoadWhatItCompiledStillRuns) {
  engine_.controls().fail_next(FakeStage::kLoad, corrupt_data("a bit is wrong"), 2);
  const auto model = load(open_blob());
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ(weight_of(**model), "abcd");
}

// An entry that is removed is gone for every process, and a compilation needs more of what ran out.
TEST_F(StoredModelsTest, AnEntryIsKeptWhenMemoryOrFileHandlesRunOut) {
  EXPECT_TRUE(load(open_blob()).ok());
  for (const Status& failure :
       {resource_exhausted("no memory"), io_error("too many open files"), cancelled("stopped"),
        internal_error("a bug"), unsupported("no such kernel"), invalid_argument("wrong"),
        not_found("nothing there"), Status(StatusCode::kVersionTooNew, "too new")}) {
    engine_.controls().fail_next(FakeStage::kLoad, failure);
    const auto refused = load(open_blob());
    EXPECT_EQ(refused.status().code(), failure.code()) << refused.status().to_string();
    EXPECT_EQ(provider_->stored_models().stores(folder_)->front()->stats().damaged, 0u);
    const auto model = load(open_blob());
    ASSERT_TRUE(model.ok()) << model.status().to_string();
    EXPECT_EQ(weight_of(**model), "abcd");
  }
  EXPECT_EQ(compilations(), 1);
}

// Core ML and OpenVINO tell a damaged folder and a busy device alike.
TEST_F(StoredModelsTest, AnEntryThatTheEngineFailsWithIsCompiledAgainOnce) {
  EXPECT_TRUE(load(open_blob()).ok());
  engine_.controls().fail_next(FakeStage::kLoad, engine_failure("cannot import"));
  EXPECT_TRUE(load(open_blob()).ok());
  EXPECT_EQ(compilations(), 2);
  // What it has just compiled is no damage: the entry stays, and the model is loaded without it.
  EXPECT_TRUE(load(open_blob()).ok());
  engine_.controls().fail_next(FakeStage::kLoad, engine_failure("cannot import"), 2);
  EXPECT_TRUE(load(open_blob()).ok());
  EXPECT_EQ(compilations(), 3);
  EXPECT_EQ(provider_->stored_models().stores(folder_)->front()->stats().damaged, 1u);
  EXPECT_TRUE(load(open_blob()).ok());
  EXPECT_EQ(compilations(), 3);
}

TEST_F(StoredModelsTest, AFailedCompilationIsToldAsItIs) {
  engine_.controls().fail_next(FakeStage::kCompile, unsupported("no such operation", "op"));
  const auto model = load(open_blob());
  EXPECT_EQ(model.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(model.status().to_string(), HasSubstr("no such operation"));
}

TEST_F(StoredModelsTest, AModelKeepsItsEntryFromBeingRemoved) {
  auto model = load(open_blob());
  ASSERT_TRUE(model.ok());
  assets::AssetStore* store = provider_->stored_models().stores(folder_)->front();
  EXPECT_EQ(store->purge()->in_use, 1u);
  model = io_error("let go");
  EXPECT_EQ(store->purge()->entries, 1u);
}

TEST_F(StoredModelsTest, AFolderThatCannotBeUsedIsNoObstacle) {
  const auto model = load(open_blob(), {.cache_dir = "/dev/null/cache"});
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ(weight_of(**model), "abcd");
  EXPECT_EQ(compilations(), 0);
}

// The description of a hostile program promises what it wants.
TEST_F(StoredModelsTest, WarmUpDoesNotMakeTensorsOfGigabytes) {
  blob::Blob blob;
  blob.format = blob::Format::kFlattenedDirectory;
  const std::string program =
      "function main\ninput x float32 [1..150000000]\n"
      "output a float32 [1..150000000] = identity x\n"
      "output b float32 [1..150000000] = identity x\n";
  ASSERT_TRUE(blob.files.add_file(engine::kFakeProgramFile, Bytes(as_bytes(program))).ok());
  const auto model = load(blob);
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ(warm_up(**model, {}).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(engine_.controls().count(FakeStage::kExecute), 0);
}

TEST_F(StoredModelsTest, WarmUpExecutesOnce) {
  const auto model = load(open_blob());
  ASSERT_TRUE(model.ok());
  EXPECT_TRUE(warm_up(**model, {}).ok());
  EXPECT_EQ(engine_.controls().count(FakeStage::kExecute), 1);
  engine_.controls().fail_next(FakeStage::kExecute, engine_failure("too cold"));
  EXPECT_EQ(warm_up(**model, {}).code(), StatusCode::kEngineFailure);
}

}  // namespace
}  // namespace coreml_delegate
