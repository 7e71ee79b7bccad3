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

Status add(const std::string& name) { return register_engine(std::make_unique<NamedEngine>(name)); }

// The registry is the process's, so its life is one test.
TEST(Registry, FromEmptyToFull) {
  EXPECT_TRUE(engine_names().empty());
  const Status nothing = find_engine("").status();
  EXPECT_EQ(nothing.code(), StatusCode::kNotFound);
  EXPECT_THAT(nothing.to_string(), HasSubstr("registered: none"));

  ASSERT_TRUE(add("zebra").ok());
  EXPECT_EQ(find_engine("").status().code(), StatusCode::kNotFound)
      << "not any engine is a default";
  EXPECT_EQ((*find_engine("zebra"))->name(), "zebra");

  ASSERT_TRUE(add("portable").ok());
  EXPECT_EQ((*find_engine(""))->name(), "portable");
  ASSERT_TRUE(add("coreml").ok());
  EXPECT_EQ((*find_engine(""))->name(), "coreml");
  EXPECT_EQ((*find_engine("portable"))->name(), "portable");
  EXPECT_THAT(engine_names(), ElementsAre("coreml", "portable", "zebra"));

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
