// The engine's models compiled by the helper program: the whole conformance suite, the same numbers
// to the last bit, the same refusals.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/helper/compile_helper.h"
#include "runtime/engine/portable/portable_engine.h"

namespace coreml_delegate::engine {
namespace {

const HelperProcess kHelper{.program = "runtime/coreml_compile_helper",
                            .timeout_seconds = 120,
                            .memory_limit_bytes = int64_t{2} << 30};

// The portable engine as its users see it when they ask for the helper.
class EngineWithHelper : public Engine {
 public:
  std::string_view name() const override { return engine_->name(); }
  std::string fingerprint() const override { return engine_->fingerprint(); }
  Result<std::vector<FunctionDescription>> describe(const ModelSource& source) const override {
    return engine_->describe(source);
  }
  Result<CompileRequest> plan(const ModelSource& source,
                              const LoadOptions& options) const override {
    return engine_->plan(source, options);
  }
  using Engine::compile;
  using Engine::load;
  using Engine::load_source;
  Status compile(const ModelSource& source, const std::string& folder,
                 const CompileRequest& request, const Controls& controls) override {
    return compile_in_helper(kHelper, *engine_, source, folder, request, controls);
  }
  Result<std::unique_ptr<Model>> load(const std::string& folder, const CompileRequest& request,
                                      const Controls& controls) override {
    return engine_->load(folder, request, controls);
  }
  Result<std::unique_ptr<Model>> load_source(const ModelSource& source,
                                             const CompileRequest& request,
                                             const Controls& controls) override {
    return load_source_in_helper(kHelper, *engine_, source, request, controls);
  }

 private:
  std::unique_ptr<Engine> engine_ = portable::make_portable_engine();
};

EngineUnderTest portable_with_helper() {
  return {.name = "portable_with_helper", .engine = std::make_unique<EngineWithHelper>()};
}
INSTANTIATE_TEST_SUITE_P(Helper, EngineTest, ::testing::Values(&portable_with_helper));
INSTANTIATE_TEST_SUITE_P(Helper, PackageEngineTest, ::testing::Values(&portable_with_helper));

class HelperProcessTest : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> here_ = portable::make_portable_engine();
  EngineWithHelper there_;
};

// Values that tell rounding apart.
Tensor make_input(const TensorSpec& spec) {
  std::vector<int64_t> shape;
  int64_t count = 1;
  for (const Dimension& dimension : spec.shape) {
    shape.push_back(dimension.max == Dimension::kUnbounded ? dimension.min + 2 : dimension.max);
    count *= shape.back();
  }
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<double>(i + 1) * (spec.dtype == DataType::kInt32 ? 1 : 0.7301);
  }
  return make_tensor(spec.dtype, shape, values);
}

// All outputs of three executions, one after the other on the same state.
std::vector<std::byte> run(Model& model) {
  std::vector<std::byte> bytes;
  std::unique_ptr<State> state;
  if (!model.description().states.empty()) state = *model.make_state();
  std::vector<Tensor> inputs;
  for (const TensorSpec& spec : model.description().inputs) inputs.push_back(make_input(spec));
  for (int i = 0; i < 3; ++i) {
    std::vector<Tensor> outputs;
    for (const TensorSpec& spec : model.description().outputs) {
      std::vector<int64_t> shape;
      for (const Dimension& dimension : spec.shape) shape.push_back(dimension.min);
      outputs.push_back(make_output(spec.dtype, shape, 4096));
    }
    const Status status =
        execute(model, inputs, outputs, {.state = state.get(), .events = nullptr});
    EXPECT_TRUE(status.ok()) << status.to_string();
    for (const Tensor& output : outputs) {
      bytes.insert(bytes.end(), output.bytes.begin(), output.bytes.end());
    }
  }
  return bytes;
}

TEST_F(HelperProcessTest, GivesTheSameNumbersToTheLastBit) {
  for (const char* const name : {"add", "weights", "chain", "types", "scalar", "range",
                                 "enumerated", "state", "state_range", "functions"}) {
    const inmemoryfs::InMemoryFileSystem files = read_test_model(name);
    const ModelSource source{ModelKind::kPackage, &files, name};
    const auto functions = here_->describe(source);
    ASSERT_TRUE(functions.ok()) << functions.status().to_string();
    for (const FunctionDescription& function : *functions) {
      for (const auto& [mode_name, mode] : kNumericModeNames) {
        SCOPED_TRACE(std::string(name) + " " + function.name + " " + std::string(mode_name));
        LoadOptions options;
        options.function_name = function.name;
        options.numeric_mode = mode;
        const auto expected = here_->load_source(source, options);
        const auto found = there_.load_source(source, options);
        ASSERT_TRUE(expected.ok()) << expected.status().to_string();
        ASSERT_TRUE(found.ok()) << found.status().to_string();
        EXPECT_EQ((*found)->description().name, function.name);
        EXPECT_EQ((*found)->description().inputs, (*expected)->description().inputs);
        EXPECT_EQ((*found)->description().outputs, (*expected)->description().outputs);
        EXPECT_EQ((*found)->description().states, (*expected)->description().states);
        EXPECT_TRUE(run(**found) == run(**expected));
      }
    }
  }
}

TEST_F(HelperProcessTest, RefusesAsTheEngineDoes) {
  const inmemoryfs::InMemoryFileSystem lacking = read_test_model("unsupported");
  const inmemoryfs::InMemoryFileSystem good = read_test_model("add");
  const Bytes model = *good.read("Data/com.apple.CoreML/model.mlmodel");
  inmemoryfs::InMemoryFileSystem damaged = read_test_model("add");
  ASSERT_TRUE(damaged.remove("Data/com.apple.CoreML/model.mlmodel").ok());
  ASSERT_TRUE(damaged
                  .add_file("Data/com.apple.CoreML/model.mlmodel",
                            Bytes(model.span().first(model.size() / 2), model.owner()))
                  .ok());
  inmemoryfs::InMemoryFileSystem empty;
  LoadOptions missing;
  missing.function_name = "missing";
  const struct {
    const inmemoryfs::InMemoryFileSystem* files;
    LoadOptions options;
  } cases[] = {{&lacking, {}}, {&damaged, {}}, {&empty, {}}, {&good, missing}};
  for (const auto& [files, options] : cases) {
    const ModelSource source{ModelKind::kPackage, files, "hostile"};
    const TemporaryFolder folder;
    const Status expected = here_->load_source(source, options).status();
    EXPECT_FALSE(expected.ok());
    EXPECT_EQ(there_.load_source(source, options).status().to_string(), expected.to_string());
    EXPECT_EQ(there_.compile(source, folder.path(), options).to_string(),
              here_->compile(source, folder.path(), options).to_string());
  }
}

TEST_F(HelperProcessTest, TooLittleMemoryIsAStatus) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("chain");
  HelperProcess helper = kHelper;
  helper.memory_limit_bytes = int64_t{1} << 20;
  const auto model =
      load_source_in_helper(helper, *here_, {ModelKind::kPackage, &files, "chain"}, {});
  ASSERT_FALSE(model.ok());
  // Who notices first is OpenVINO's affair: a refused allocation, or a crash on one.
  EXPECT_THAT(std::string(status_code_name(model.status().code())),
              ::testing::AnyOf("resource_exhausted", "engine_failure"))
      << model.status().to_string();
}

}  // namespace
}  // namespace coreml_delegate::engine
