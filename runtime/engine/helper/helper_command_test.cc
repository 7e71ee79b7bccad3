#include "runtime/engine/helper/helper_command.h"

#include <gtest/gtest.h>

namespace coreml_delegate::engine::helper {
namespace {

TEST(HelperCommandTest, ComesAcross) {
  const HelperCommand command{.engine = "portable",
                              .request = R"({"fingerprint":"openvino=1; cpu=a b"})",
                              .load_request = "--engine=other",
                              .package = "/tmp/a b.mlpackage",
                              .name = "model \"x\"=\n",
                              .output = "/tmp/out",
                              .timeout_seconds = 605,
                              .memory_limit_bytes = int64_t{1} << 40,
                              .parent = 1234};
  const auto parsed = parse_arguments(to_arguments(command));
  ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
  EXPECT_EQ(parsed->engine, command.engine);
  EXPECT_EQ(parsed->request, command.request);
  EXPECT_EQ(parsed->load_request, command.load_request);
  EXPECT_EQ(parsed->package, command.package);
  EXPECT_EQ(parsed->name, command.name);
  EXPECT_EQ(parsed->output, command.output);
  EXPECT_EQ(parsed->timeout_seconds, 605);
  EXPECT_EQ(parsed->memory_limit_bytes, int64_t{1} << 40);
  EXPECT_EQ(parsed->parent, 1234);
}

TEST(HelperCommandTest, TheNameIsThePackagesWhereThereIsNone) {
  EXPECT_EQ(parse_arguments({"--package=p", "--output=o"}).value().name, "p");
}

TEST(HelperCommandTest, WhatIsNotUnderstoodIsRefused) {
  for (const char* const bad : {"", "x", "--nonsense=1", "--parent=-1", "--parent=1x",
                                "--parent=99999999999", "--numeric-mode=float16"}) {
    EXPECT_EQ(parse_arguments({"--package=p", "--output=o", bad}).status().code(),
              StatusCode::kInvalidArgument)
        << bad;
  }
  EXPECT_FALSE(parse_arguments({"--package=p"}).ok());
  EXPECT_FALSE(parse_arguments({"--output=o"}).ok());
}

}  // namespace
}  // namespace coreml_delegate::engine::helper
