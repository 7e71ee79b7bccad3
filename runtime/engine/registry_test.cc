#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class NamedEngine : public Engine {
 public:
  explicit NamedEngine(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  using Engine::compile;
  using Engine::load;
  using Engine::load_source;
  std::string fingerprint() const override { return name_; }
  Result<std::vector<FunctionDescription>> describe(const ModelSource&) const override {
    return unsupported("nothing");
  }
  Result<CompileRequest> plan(const ModelSource&, const LoadOptions&) const override {
    return unsupported("nothing");
  }
  Status compile(const ModelSource&, const std::string&, const CompileRequest&,
                 const Controls&) override {
    return unsupported("nothing");
  }
  Result<std::unique_ptr<Model>> load(const std::string&, const CompileRequest&,
                                      const Controls&) override {
    return unsupported("nothing");
  }
  Result<std::unique_ptr<Model>> load_source(const ModelSource&, const CompileRequest&,
                                             const Controls&) override {
    return unsupported("nothing");
  }

 private:
  std::string name_;
};

Status add(const std::string& name, DefaultRank rank = DefaultRank::kNever) {
  return register_engine(std::make_unique<NamedEngine>(name), rank);
}

// The registry is the process's, so its life is one test.
TEST(Registry, FromEmptyToFull) {
  EXPECT_TRUE(engine_names().empty());
  const Status nothing = find_engine("").status();
  EXPECT_EQ(nothing.code(), StatusCode::kNotFound);
  EXPECT_THAT(nothing.to_string(), HasSubstr("the registered engines are: none"));

  ASSERT_TRUE(add("zebra").ok());
  EXPECT_EQ(find_engine("").status().code(), StatusCode::kNotFound)
      << "not any engine is a default";
  EXPECT_EQ((*find_engine("zebra"))->name(), "zebra");

  // No name is known beforehand: an engine says itself whether it is a default.
  ASSERT_TRUE(add("walker", DefaultRank::kAnywhere).ok());
  EXPECT_EQ((*find_engine(""))->name(), "walker");
  ASSERT_TRUE(add("native", DefaultRank::kOwnPlatform).ok());
  EXPECT_EQ((*find_engine(""))->name(), "native");
  ASSERT_TRUE(add("another", DefaultRank::kOwnPlatform).ok());
  ASSERT_TRUE(add("runner", DefaultRank::kAnywhere).ok());
  EXPECT_EQ((*find_engine(""))->name(), "native") << "the first of equals";
  EXPECT_EQ((*find_engine("walker"))->name(), "walker");
  EXPECT_THAT(engine_names(), ElementsAre("another", "native", "runner", "walker", "zebra"));

  const Status twice = add("zebra");
  EXPECT_EQ(twice.code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(twice.to_string(), HasSubstr("zebra"));
  const Status unknown = find_engine("unicorn").status();
  EXPECT_EQ(unknown.code(), StatusCode::kNotFound);
  EXPECT_THAT(unknown.to_string(), HasSubstr("unicorn"));
  EXPECT_THAT(unknown.to_string(), HasSubstr("zebra"));
}

}  // namespace
}  // namespace coreml_delegate::engine
