#include "runtime/engine/helper/helper_command.h"

#include <gtest/gtest.h>

namespace coreml_delegate::engine::helper {
namespace {

TEST(HelperCommandTest, ComesAcross) {
  const HelperCommand command{.engine = "portable",
                              .fingerprint = "openvino=1; cpu=a b",
                              .package = "/tmp/a b.mlpackage",
                              .name = "model \"x\"=\n",
                              .output = "/tmp/out",
                              .function = "--engine=other",
                              .compile = {.compute_units = ComputeUnits::kCpuAndNeuralEngine,
                                          .numeric_mode = NumericMode::kFloat16},
                              .threads = 3,
                              .timeout_seconds = 605,
                              .memory_limit_bytes = int64_t{1} << 40,
                              .parent = 1234};
  const auto parsed = parse_arguments(to_arguments(command));
  ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
  EXPECT_EQ(parsed->engine, command.engine);
  EXPECT_EQ(parsed->fingerprint, command.fingerprint);
  EXPECT_EQ(parsed->package, command.package);
  EXPECT_EQ(parsed->name, command.name);
  EXPECT_EQ(parsed->output, command.output);
  EXPECT_EQ(parsed->function, command.function);
  EXPECT_EQ(parsed->compile, command.compile);
  EXPECT_EQ(parsed->threads, 3);
  EXPECT_EQ(parsed->timeout_seconds, 605);
  EXPECT_EQ(parsed->memory_limit_bytes, int64_t{1} << 40);
  EXPECT_EQ(parsed->parent, 1234);
}

TEST(HelperCommandTest, EveryModeAndUnitComesAcross) {
  for (const ComputeUnits units : {ComputeUnits::kAll, ComputeUnits::kCpuOnly,
                                   ComputeUnits::kCpuAndGpu, ComputeUnits::kCpuAndNeuralEngine}) {
    for (const NumericMode mode :
         {NumericMode::kFloat32, NumericMode::kFloat16, NumericMode::kLowPrecision}) {
      HelperCommand command;
      command.package = "p";
      command.output = "o";
      command.compile = {.compute_units = units, .numeric_mode = mode};
      const auto parsed = parse_arguments(to_arguments(command));
      ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
      EXPECT_EQ(parsed->compile, command.compile);
    }
  }
}

TEST(HelperCommandTest, TheNameIsThePackagesWhereThereIsNone) {
  EXPECT_EQ(parse_arguments({"--package=p", "--output=o"}).value().name, "p");
}

TEST(HelperCommandTest, WhatIsNotUnderstoodIsRefused) {
  for (const char* const bad : {"", "x", "--nonsense=1", "--threads=-1", "--threads=1x",
                                "--threads=99999999999", "--numeric-mode=half"}) {
    EXPECT_EQ(parse_arguments({"--package=p", "--output=o", bad}).status().code(),
              StatusCode::kInvalidArgument)
        << bad;
  }
  EXPECT_FALSE(parse_arguments({"--package=p"}).ok());
  EXPECT_FALSE(parse_arguments({"--output=o"}).ok());
}

}  // namespace
}  // namespace coreml_delegate::engine::helper
