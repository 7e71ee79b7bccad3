#include "runtime/runner/command_line.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/options.h"

namespace coreml_delegate::runner {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::vector<std::string>& arguments) {
  const Result<CommandLine> line = parse_command_line(arguments);
  EXPECT_FALSE(line.ok());
  return line.ok() ? "" : line.status().to_string();
}

TEST(CommandLineTest, BothSpellingsOfAnOption) {
  const Result<CommandLine> line = parse_command_line(
      {"--model=m.pte", "--warm_up", "3", "--iterations", "20", "--mmap", "--numeric-mode=float16",
       "--threads", "2", "--cache-dir=/c", "--seed", "9", "--output", "out/y"});
  ASSERT_TRUE(line.ok()) << line.status().to_string();
  EXPECT_EQ(line->model, "m.pte");
  EXPECT_EQ(line->method, "forward");
  EXPECT_EQ(line->warm_up, 3);
  EXPECT_EQ(line->iterations, 20);
  EXPECT_TRUE(line->maps_file);
  EXPECT_EQ(std::get<std::string>(line->delegate.at("numeric_mode")), "float16");
  EXPECT_EQ(std::get<int>(line->delegate.at("threads")), 2);
  EXPECT_EQ(std::get<std::string>(line->delegate.at("cache_dir")), "/c");
  EXPECT_EQ(line->seed, 9u);
  EXPECT_EQ(line->output_prefix, "out/y");
  EXPECT_EQ(line->delegate.size(), 3u);
}

TEST(CommandLineTest, TheCompileHelperAndItsLimits) {
  const Result<CommandLine> line =
      parse_command_line({"m.pte", "--compile_helper=/h", "--compile-helper-timeout-s", "30",
                          "--compile-helper-memory-mb=500"});
  ASSERT_TRUE(line.ok()) << line.status().to_string();
  EXPECT_EQ(std::get<std::string>(line->delegate.at("compile_helper")), "/h");
  EXPECT_EQ(std::get<int>(line->delegate.at("compile_helper_timeout_s")), 30);
  EXPECT_EQ(std::get<int>(line->delegate.at("compile_helper_memory_mb")), 500);
  EXPECT_FALSE(parse_command_line({"m.pte", "--compile-helper-timeout-s=-1"}).ok());
}

TEST(CommandLineTest, NamesOfOtherRunnersAreUnderstood) {
  const Result<CommandLine> line =
      parse_command_line({"--model_path", "m.pte", "--method_name", "decode", "--num_executions=7",
                          "--etdump_path", "a", "--debug_buffer_path", "b", "--cpu_threads", "1"});
  ASSERT_TRUE(line.ok()) << line.status().to_string();
  EXPECT_EQ(line->model, "m.pte");
  EXPECT_EQ(line->method, "decode");
  EXPECT_EQ(line->iterations, 7);
  EXPECT_EQ(line->etdump, "a");
  EXPECT_EQ(line->debug_buffer, "b");
  EXPECT_EQ(std::get<int>(line->delegate.at("threads")), 1);
}

TEST(CommandLineTest, TheCallsOfExecutorchsOtherRunnersAreUnderstood) {
  // As ExecuTorch's inspector_utils calls its example_runner.
  const Result<CommandLine> line = parse_command_line(
      {"-dump_intermediate_outputs", "-bundled_program_path", "m.bpte", "-etdump_path", "e",
       "-debug_output_path", "d", "-debug_buffer_size", "1073741824", "-testset_idx", "2",
       "-output_verification", "--print_output=false"});
  ASSERT_TRUE(line.ok()) << line.status().to_string();
  EXPECT_EQ(line->model, "m.bpte");
  EXPECT_EQ(line->etdump, "e");
  EXPECT_EQ(line->debug_buffer, "d");
  EXPECT_FALSE(line->dumps_outputs_only);
  EXPECT_EQ(line->test_case, 2);
  EXPECT_TRUE(line->verifies_outputs);
  EXPECT_FALSE(line->prints_outputs);

  // The runner for the stock delegate names its files only where somebody asks for others.
  const Result<CommandLine> stock =
      parse_command_line({"--model_path", "m.pte", "--purge_models_cache", "--profile_model",
                          "--dump_model_outputs", "--iterations=3"});
  ASSERT_TRUE(stock.ok()) << stock.status().to_string();
  EXPECT_TRUE(stock->purges_cache);
  EXPECT_EQ(stock->etdump, "etdump.etdp");
  EXPECT_EQ(stock->debug_buffer, "debug_output.bin");
  EXPECT_TRUE(stock->dumps_outputs_only);
  const Result<CommandLine> both =
      parse_command_line({"m.pte", "--dump_model_outputs", "--dump_intermediate_outputs=1"});
  ASSERT_TRUE(both.ok());
  EXPECT_FALSE(both->dumps_outputs_only);
  const Result<CommandLine> profile = parse_command_line({"m.pte", "--profile_model=1"});
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->etdump, "etdump.etdp");
  EXPECT_EQ(profile->debug_buffer, "");

  EXPECT_THAT(refusal({"m.pte", "--debug_buffer_size", "much"}), HasSubstr("a whole number"));
}

// The flags are the table's: whoever adds an option there has it here, and in the help.
TEST(CommandLineTest, EveryOptionOfTheDelegateIsAFlag) {
  for (const OptionRow<DelegateOptions>& row : kLoadOptions) {
    const std::string flag = option_table::flag_of(row);
    const bool is_switch = option_table::is_switch(row);
    const Result<CommandLine> line =
        is_switch ? parse_command_line({"m.pte", flag}) : parse_command_line({"m.pte", flag, "7"});
    ASSERT_TRUE(line.ok()) << line.status().to_string();
    ASSERT_EQ(line->delegate.size(), 1u) << flag;
    EXPECT_EQ(line->delegate.begin()->first, row.name);
    EXPECT_EQ(line->delegate.begin()->second.index(), is_switch                      ? 0u
                                                      : option_table::is_number(row) ? 1u
                                                                                     : 2u)
        << flag;
    EXPECT_THAT(help_text(), HasSubstr("\n  " + flag + " "));
  }
  EXPECT_THAT(refusal({"m.pte", "--warm-up-on-load=1"}), HasSubstr("takes no value"));
  EXPECT_THAT(refusal({"m.pte", "--threads", "1025"}), HasSubstr("0 to 1024"));
  EXPECT_TRUE(
      parse_command_line({"m.pte", "--compute-units", "all"})->delegate.contains("compute_unit"));
}

TEST(CommandLineTest, InputsAreCountedOn) {
  const Result<CommandLine> line =
      parse_command_line({"m.pte", "--input", "a.npy", "--input", "3=b=c.npy", "--input", "d.bin",
                          "--input", "1=5", "--input", "x=y.npy"});
  ASSERT_TRUE(line.ok()) << line.status().to_string();
  ASSERT_EQ(line->inputs.size(), 5u);
  EXPECT_EQ(line->inputs[0].index, 0u);
  EXPECT_EQ(line->inputs[1].index, 3u);
  EXPECT_EQ(line->inputs[1].value, "b=c.npy");
  EXPECT_EQ(line->inputs[2].index, 4u);
  EXPECT_EQ(line->inputs[3].value, "5");
  // What stands before the sign is no number, so it belongs to the file's name.
  EXPECT_EQ(line->inputs[4].index, 2u);
  EXPECT_EQ(line->inputs[4].value, "x=y.npy");
}

TEST(CommandLineTest, HelpNeedsNothingElse) {
  const Result<CommandLine> line = parse_command_line({"--help"});
  ASSERT_TRUE(line.ok());
  EXPECT_TRUE(line->wants_help);
  EXPECT_THAT(help_text(), HasSubstr("coreml_runner --model model.pte"));
}

TEST(CommandLineTest, WhatIsWrongIsNamed) {
  EXPECT_THAT(refusal({}), HasSubstr("name the program to run"));
  EXPECT_THAT(refusal({"m.pte", "n.pte"}), HasSubstr("only one model"));
  EXPECT_THAT(refusal({"m.pte", "--model", "n.pte"}), HasSubstr("only one model"));
  EXPECT_THAT(refusal({"m.pte", "--frobnicate", "1"}), HasSubstr("--frobnicate"));
  EXPECT_THAT(refusal({"m.pte", "--iterations"}), HasSubstr("needs a value"));
  EXPECT_THAT(refusal({"m.pte", "--json=yes"}),
              HasSubstr("takes no value, or the value true or false"));
  EXPECT_THAT(refusal({"m.pte", "--debug-buffer", "v.bin"}), HasSubstr("--etdump"));
  EXPECT_THAT(refusal({"m.pte", "--debug-buffer", "v", "--etdump", "v"}), HasSubstr("two names"));
  EXPECT_THAT(refusal({"m.pte", "--output-format", "png"}), HasSubstr("npy or raw"));
  EXPECT_THAT(refusal({"m.pte", "--input", "0="}), HasSubstr("a file or a number"));
  EXPECT_THAT(refusal({"m.pte", "--input", "0=a", "--input", "0=b"}), HasSubstr("given twice"));
  for (const char* number : {"0", "-1", "1.5", "ten", "", "99999999999999999999"}) {
    EXPECT_THAT(refusal({"m.pte", "--iterations", number}), HasSubstr("whole number")) << number;
  }
  EXPECT_THAT(refusal({"m.pte", "--threads", "4294967296"}), HasSubstr("whole number"));
}

}  // namespace
}  // namespace coreml_delegate::runner
