// Compiling to a folder and loading it, and cancelling.

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/engine/cts/engine_cts.h"

namespace coreml_delegate::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::ElementsAre;

class Compiled {
 public:
  Compiled(Engine& engine, const std::string& name, const LoadOptions& options = {})
      : engine_(engine) {
    const inmemoryfs::InMemoryFileSystem files = read_test_model(name);
    const Status status =
        engine.compile({ModelKind::kPackage, &files, name}, folder_.path(), options);
    EXPECT_TRUE(status.ok()) << status.to_string();
  }
  const std::string& path() const { return folder_.path(); }
  Result<std::unique_ptr<Model>> load(const LoadOptions& options = {}) {
    return engine_.load(folder_.path(), options);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      if (entry.is_regular_file()) result.push_back(entry.path().string());
    }
    return result;
  }

 private:
  Engine& engine_;
  TemporaryFolder folder_;
};

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}
// As a new file: a mapping of the old one stays whole.
void replace_file(const std::string& path, const std::string& content) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << content;
}

void expect_sum(Model& model) {
  const std::vector<Tensor> inputs = {
      make_tensor(DataType::kFloat32, {2, 3}, {1, 2, 3, 4, 5, 6}),
      make_tensor(DataType::kFloat32, {2, 3}, {10, 20, 30, 40, 50, 60})};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  const Status status = execute(model, inputs, outputs);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(outputs[0].numbers(), ElementsAre(11, 22, 33, 44, 55, 66));
}

TEST_P(EngineTest, LoadsWhatItCompiled) {
  Compiled compiled(engine(), "add");
  EXPECT_FALSE(compiled.files().empty());
  for (int i = 0; i < 2; ++i) {
    const Result<std::unique_ptr<Model>> model = compiled.load();
    ASSERT_TRUE(model.ok()) << model.status().to_string();
    EXPECT_EQ((*model)->description().inputs, load("add")->description().inputs);
    EXPECT_EQ((*model)->description().outputs, load("add")->description().outputs);
    expect_sum(**model);
  }
}

TEST_P(EngineTest, ACompiledModelKeepsItsStatesAndRanges) {
  Compiled compiled(engine(), "state_range");
  const Result<std::unique_ptr<Model>> model = compiled.load();
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  const std::unique_ptr<State> state = *(*model)->make_state();
  for (const int64_t n : {1, 8, 3}) {
    std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4}),
                                   make_output(DataType::kFloat32, {8})};
    const Status status = execute(
        **model,
        {make_tensor(DataType::kFloat16, {4}, std::vector<double>(4, 1)),
         make_tensor(DataType::kFloat32, {n}, std::vector<double>(static_cast<size_t>(n), 2))},
        outputs, {.state = state.get(), .events = nullptr});
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_THAT(outputs[1].shape, ElementsAre(n));
    EXPECT_THAT(outputs[1].numbers(), Each(4));
  }
  EXPECT_THAT(read_state(*state, **model, "acc"), Each(3));
}

TEST_P(EngineTest, ALoadedFolderMayGoAway) {
  Result<std::unique_ptr<Model>> model = internal_error("not loaded");
  {
    Compiled compiled(engine(), "add");
    model = compiled.load();
    ASSERT_TRUE(model.ok()) << model.status().to_string();
  }
  expect_sum(**model);
}

TEST_P(EngineTest, RefusesFoldersThatAreNotItsOwn) {
  const TemporaryFolder empty;
  EXPECT_TRUE(fails_with(engine().load(empty.path(), {}).status(), StatusCode::kCorruptData, ""));
  const TemporaryFolder foreign;
  std::ofstream(foreign.path() + "/description.json") << "{\"engine\": \"another\"}\n";
  EXPECT_FALSE(engine().load(foreign.path(), {}).ok());
  EXPECT_FALSE(engine().load(empty.path() + "/nowhere", {}).ok());
}

TEST_P(EngineTest, RefusesAFolderWithAFileMissingOrEmpty) {
  Compiled compiled(engine(), "add");
  size_t refused = 0;
  for (const std::string& path : compiled.files()) {
    const std::string content = read_file(path);
    fs::remove(path);
    const Result<std::unique_ptr<Model>> without = compiled.load();
    if (!without.ok()) {
      EXPECT_EQ(without.status().code(), StatusCode::kCorruptData) << without.status().to_string();
      ++refused;
    }
    replace_file(path, "");
    const Result<std::unique_ptr<Model>> empty = compiled.load();
    if (!empty.ok()) {
      EXPECT_EQ(empty.status().code(), StatusCode::kCorruptData) << empty.status().to_string();
    }
    replace_file(path, content);
  }
  EXPECT_GT(refused, 0u);
  EXPECT_TRUE(compiled.load().ok());
}

// Whoever keeps compiled models compares texts and knows nothing of options.
TEST_P(EngineTest, ARequestIsAllThatCompilingNeeds) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  const ModelSource source{ModelKind::kPackage, &files, "add"};
  const Result<CompileRequest> request = engine().plan(source, {});
  ASSERT_TRUE(request.ok()) << request.status().to_string();
  EXPECT_EQ(engine().plan({}, {})->text, request->text) << "the files are not read";
  EXPECT_EQ(request->attributes.at("engine"), engine().name());
  EXPECT_EQ(request->attributes.at("fingerprint"), engine().fingerprint());
  EXPECT_NE(engine().plan(source, {.function_name = "other"})->text, request->text);
  EXPECT_TRUE(fails_with(engine().plan(source, {.function_name = "\xff"}).status(),
                         StatusCode::kInvalidArgument, "UTF-8"));
  const TemporaryFolder folder;
  ASSERT_TRUE(engine().compile(source, folder.path(), *request, {}).ok());
  const Result<std::unique_ptr<Model>> model = engine().load(folder.path(), *request, {});
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  expect_sum(**model);
}

TEST_P(EngineTest, ARequestOfAnotherBuildIsRefused) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  const ModelSource source{ModelKind::kPackage, &files, "add"};
  CompileRequest request = engine().plan(source, {}).value();
  const std::string fingerprint = engine().fingerprint();
  const size_t at = request.text.find(fingerprint);
  ASSERT_NE(at, std::string::npos);
  request.text.replace(at, fingerprint.size(), "of yesterday");
  const TemporaryFolder folder;
  EXPECT_TRUE(fails_with(engine().compile(source, folder.path(), request, {}),
                         StatusCode::kFailedPrecondition, "of yesterday"));
  EXPECT_TRUE(fails_with(engine().load_source(source, request, {}).status(),
                         StatusCode::kFailedPrecondition, "of yesterday"));
  Compiled compiled(engine(), "add");
  EXPECT_TRUE(fails_with(engine().load(compiled.path(), request, {}).status(),
                         StatusCode::kFailedPrecondition, "of yesterday"));
  for (const char* const text : {"", "{}", "[]", "{\"engine\":1}", "{\"engine\""}) {
    request.text = text;
    EXPECT_FALSE(engine().compile(source, folder.path(), request, {}).ok()) << text;
    EXPECT_FALSE(engine().load_source(source, request, {}).ok()) << text;
  }
}

TEST_P(EngineTest, CancelledBeforeItBegins) {
  CancellationToken token;
  token.cancel();
  LoadOptions options;
  options.cancellation = &token;
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  const ModelSource source{ModelKind::kPackage, &files, "add"};
  const TemporaryFolder folder;
  EXPECT_TRUE(
      fails_with(engine().compile(source, folder.path(), options), StatusCode::kCancelled, ""));
  EXPECT_TRUE(
      fails_with(engine().load_source(source, options).status(), StatusCode::kCancelled, ""));
  Compiled compiled(engine(), "add");
  EXPECT_TRUE(fails_with(compiled.load(options).status(), StatusCode::kCancelled, ""));
  // Without it, all is well.
  EXPECT_TRUE(compiled.load().ok());
}

}  // namespace
}  // namespace coreml_delegate::engine
