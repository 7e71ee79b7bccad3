#include "runtime/delegate/options.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/include/coreml_backend/coreml_backend_options.h"

namespace coreml_delegate {
namespace {

using executorch::backends::coreml::LoadOptionsBuilder;
using executorch::runtime::BackendOption;
using executorch::runtime::BackendOptions;
using executorch::runtime::CompileSpec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

executorch::runtime::Span<const BackendOption> as_const(
    executorch::runtime::Span<BackendOption> options) {
  return {options.data(), options.size()};
}

TEST(OptionsTest, TheBuildersOptionsAreUnderstood) {
  LoadOptionsBuilder builder;
  builder.setComputeUnit(LoadOptionsBuilder::ComputeUnit::CPU_AND_NE)
      .setEngine("portable")
      .setNumericMode(LoadOptionsBuilder::NumericMode::FLOAT16)
      .setThreads(3)
      .setShareModels(true)
      .setCacheDirectory("/anywhere")
      .setCacheBudgetMegabytes(100)
      .setCacheVerification(LoadOptionsBuilder::CacheVerification::SAMPLED)
      .setCompileHelper("/anywhere/helper")
      .setCompileHelperTimeoutSeconds(30)
      .setCompileHelperMemoryMegabytes(500)
      .setWarmUp(true)
      .setReshapeFrequency(LoadOptionsBuilder::ReshapeFrequency::INFREQUENT)
      .setSpecializationStrategy(LoadOptionsBuilder::SpecializationStrategy::FAST_PREDICTION)
      .setLowPrecisionAccumulation(true)
      .setUseNewCache(true);
  EXPECT_STREQ(LoadOptionsBuilder::backend_id(), "CoreMLBackend");
  const Result<DelegateOptions> options = parse_load_options(as_const(builder.view()));
  ASSERT_TRUE(options.ok()) << options.status().to_string();
  EXPECT_EQ(options->engine, "portable");
  EXPECT_EQ(options->compute_units, engine::ComputeUnits::kCpuAndNeuralEngine);
  EXPECT_EQ(options->numeric_mode, engine::NumericMode::kFloat16);
  EXPECT_EQ(options->threads, 3);
  EXPECT_EQ(options->share_models, true);
  EXPECT_EQ(options->cache_dir, "/anywhere");
  EXPECT_EQ(options->cache_budget_mb, 100);
  EXPECT_EQ(options->cache_verification, assets::Verification::kSampled);
  EXPECT_EQ(options->compile_helper, "/anywhere/helper");
  EXPECT_EQ(options->compile_helper_timeout_s, 30);
  EXPECT_EQ(options->compile_helper_memory_mb, 500);
  EXPECT_EQ(options->warm_up, true);
  EXPECT_EQ(options->reshape_frequency, engine::ReshapeFrequency::kInfrequent);
  EXPECT_EQ(options->specialization_strategy, engine::SpecializationStrategy::kFastPrediction);
  EXPECT_EQ(options->low_precision_accumulation, true);
  const engine::LoadOptions for_engine = engine_options(*options);
  EXPECT_EQ(for_engine.compute_units, engine::ComputeUnits::kCpuAndNeuralEngine);
  EXPECT_EQ(for_engine.numeric_mode, engine::NumericMode::kFloat16);
  EXPECT_EQ(for_engine.threads, 3);
  EXPECT_EQ(for_engine.reshape_frequency, engine::ReshapeFrequency::kInfrequent);
  EXPECT_EQ(for_engine.specialization_strategy, engine::SpecializationStrategy::kFastPrediction);
  EXPECT_TRUE(for_engine.low_precision_accumulation);
}

// XDG_CACHE_HOME, HOME, neither: of these systems only.
TEST(OptionsTest, TheDefaultCacheFolderIsTheSystems) {
  const auto folder = [](std::optional<std::string> asked) {
    DelegateOptions options;
    options.cache_dir = std::move(asked);
    return cache_folder(options);
  };
  ASSERT_EQ(setenv("HOME", "/users/somebody", 1), 0);
  ASSERT_EQ(setenv("XDG_CACHE_HOME", "/fast", 1), 0);
  EXPECT_EQ(folder("/given").value(), "/given");
  EXPECT_EQ(folder("").value(), "");
#ifdef __APPLE__
  EXPECT_EQ(folder("default").value(), "/users/somebody/Library/Caches/executorch_coreml");
  EXPECT_EQ(folder(std::nullopt).value(), folder("default").value());
#else
  EXPECT_EQ(folder(std::nullopt).value(), "");
  EXPECT_EQ(folder("default").value(), "/fast/executorch_coreml");
  ASSERT_EQ(setenv("XDG_CACHE_HOME", "not/absolute", 1), 0);
  EXPECT_EQ(folder("default").value(), "/users/somebody/.cache/executorch_coreml");
#endif
  ASSERT_EQ(unsetenv("HOME"), 0);
  EXPECT_EQ(folder("default").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(folder(std::nullopt).value(), "");
  EXPECT_EQ(folder("/given").value(), "/given");
}

// The builder has room for all of them and `_use_new_cache`, and its shorthands are of the table.
TEST(OptionsTest, TheBuilderTakesEveryOptionOfTheTable) {
  static_assert(kLoadOptions.size() + 1 <= LoadOptionsBuilder::kMaxOptions);
  using Builder = LoadOptionsBuilder;
  Builder builder;
  builder.setComputeUnit(Builder::ComputeUnit::ALL)
      .setEngine("portable")
      .setNumericMode(Builder::NumericMode::LOW_PRECISION)
      .setThreads(1)
      .setShareModels(true)
      .setCacheDirectory("/a")
      .setCacheBudgetMegabytes(1)
      .setCacheVerification(Builder::CacheVerification::NONE)
      .setCompileHelper("/h")
      .setCompileHelperTimeoutSeconds(1)
      .setCompileHelperMemoryMegabytes(1)
      .setWarmUp(true)
      .setReshapeFrequency(Builder::ReshapeFrequency::FREQUENT)
      .setSpecializationStrategy(Builder::SpecializationStrategy::DEFAULT)
      .setLowPrecisionAccumulation(false)
      .setUseNewCache(true);
  EXPECT_EQ(builder.view().size(), kLoadOptions.size() + 1);
  DelegateOptions nothing;
  for (const BackendOption& option : builder.view()) {
    BackendOption copy = option;
    const std::string_view name(option.key);
    EXPECT_EQ(read_option(nothing, copy).ok(), name != "_use_new_cache") << name;
  }
}

// docs/runtime.md has a line for each row, in its order, with its type.
TEST(OptionsTest, TheDocumentationHasEveryOptionOfTheTable) {
  std::ifstream stream("docs/runtime.md");
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  size_t at = 0;
  for (const OptionRow<DelegateOptions>& row : kLoadOptions) {
    const char* const type = option_table::is_switch(row)   ? "bool"
                             : option_table::is_number(row) ? "int"
                                                            : "string";
    const std::string line = "| `" + std::string(row.name) + "` | " + type + " |";
    const size_t found = text.find(line, at);
    EXPECT_NE(found, std::string::npos) << line;
    if (found != std::string::npos) at = found;
  }
}

// Another table: to add an option is to add a member and a row, and everything else follows.
struct MoreOptions {
  std::optional<std::string> engine;
  std::optional<int32_t> patience;
  std::optional<bool> hurry;
  std::optional<engine::NumericMode> mode;
};
constexpr std::array<OptionRow<MoreOptions>, 4> kMoreOptions = {{
    {.name = "engine", .member = &MoreOptions::engine, .placeholder = "NAME", .doc = "which"},
    {.name = "patience",
     .member = &MoreOptions::patience,
     .most = 9,
     .zero = "none",
     .flag = "be_patient",
     .placeholder = "N",
     .doc = "a long sentence that goes on and on, so that it has to be broken somewhere in the "
            "middle of it for the help"},
    {.name = "hurry", .member = &MoreOptions::hurry, .doc = "no waiting"},
    {.name = "mode",
     .member = &MoreOptions::mode,
     .engine_member = &engine::LoadOptions::numeric_mode,
     .placeholder = "MODE",
     .doc = "how"},
}};

TEST(OptionTableTest, AddingAnOptionIsAddingARow) {
  LoadOptionsBuilder given;  // Which has no setters for them.
  given.set("patience", 3).set("hurry", true).set("mode", "float16");
  MoreOptions parsed;
  for (const BackendOption& option : given.view()) {
    const Result<bool> known = option_table::apply<MoreOptions>(
        kMoreOptions, option, option_table::EmptyString::kRefused, parsed);
    ASSERT_TRUE(known.ok() && *known);
  }
  EXPECT_EQ(parsed.patience, 3);
  EXPECT_EQ(parsed.hurry, true);
  EXPECT_EQ(parsed.mode, engine::NumericMode::kFloat16);
  const MoreOptions merged = option_table::merge<MoreOptions>(
      kMoreOptions, parsed, {.engine = "fallback", .patience = 7, .hurry = {}, .mode = {}});
  EXPECT_EQ(merged.engine, "fallback");
  EXPECT_EQ(merged.patience, 3);
  BackendOption read;
  std::memcpy(read.key, "mode", 5);
  ASSERT_TRUE(option_table::read<MoreOptions>(kMoreOptions, merged, read));
  EXPECT_STREQ(std::get<option_table::StringValue>(read.value).data(), "float16");
  std::memcpy(read.key, "absent", 7);
  EXPECT_FALSE(option_table::read<MoreOptions>(kMoreOptions, merged, read));
  EXPECT_EQ(option_table::names<MoreOptions>(kMoreOptions), "engine, patience, hurry, mode");

  engine::LoadOptions load;
  option_table::give_engine<MoreOptions>(kMoreOptions, merged, load);
  EXPECT_EQ(load.numeric_mode, engine::NumericMode::kFloat16);
  EXPECT_EQ(option_table::kind(kMoreOptions[0]), "string");
  EXPECT_EQ(option_table::kind(kMoreOptions[1]), "int");
  EXPECT_EQ(option_table::kind(kMoreOptions[2]), "bool");
  EXPECT_EQ(option_table::kind(kMoreOptions[3]), "choice");
  EXPECT_THAT(option_table::choices(kMoreOptions[3]),
              ElementsAre("float32", "float16", "low_precision"));
  EXPECT_TRUE(option_table::choices(kMoreOptions[1]).empty());

  given.set("patience", 10);
  const Status status =
      option_table::apply<MoreOptions>(kMoreOptions, given.view()[0],
                                       option_table::EmptyString::kRefused, parsed)
          .status();
  EXPECT_EQ(status.message(), "the option takes 0 (none) to 9, not 10");
  EXPECT_EQ(option_table::help<MoreOptions>(kMoreOptions),
            "  --engine NAME            which\n"
            "  --be-patient N           a long sentence that goes on and on, so that it has to be "
            "broken\n"
            "                           somewhere in the middle of it for the help\n"
            "  --hurry                  no waiting\n"
            "  --mode MODE              how\n");
}

// BackendOptions cuts a string after 255 bytes.
TEST(OptionsTest, ACacheFolderThatMayHaveBeenCutIsRefused) {
  for (const size_t length : {255, 256, 1000}) {
    LoadOptionsBuilder builder;
    const std::string path(length, 'p');
    builder.setCacheDirectory(path.c_str());
    const Status status = parse_load_options(as_const(builder.view())).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << length;
    EXPECT_EQ(status.artifact(), "cache_dir");
    EXPECT_THAT(status.message(), HasSubstr("more than 254 bytes"));
  }
  LoadOptionsBuilder builder;
  const std::string path(254, 'p');
  builder.setCacheDirectory(path.c_str());
  EXPECT_EQ(parse_load_options(as_const(builder.view()))->cache_dir, path);
}

TEST(OptionsTest, AnEmptyCacheFolderAtLoadTimeWinsOverTheProcesses) {
  LoadOptionsBuilder builder;
  builder.setCacheDirectory("");
  DelegateOptions process;
  process.cache_dir = "/kept";
  EXPECT_EQ(parse_load_options(as_const(builder.view()))->or_else(process).cache_dir, "");
  BackendOptions<1> options;
  (void)options.set_option("cache_dir", "");
  EXPECT_FALSE(parse_option_update(process, options.view())->options.cache_dir);
}

TEST(OptionsTest, TheCompileHelperIsAPathToo) {
  LoadOptionsBuilder builder;
  builder.setCompileHelper(std::string(255, 'p').c_str());
  EXPECT_EQ(parse_load_options(as_const(builder.view())).status().artifact(), "compile_helper");
  builder.setCompileHelper(nullptr);
  DelegateOptions process;
  process.compile_helper = "/helper";
  process.compile_helper_timeout_s = 7;
  const DelegateOptions merged = parse_load_options(as_const(builder.view()))->or_else(process);
  EXPECT_EQ(merged.compile_helper, "");
  EXPECT_EQ(merged.compile_helper_timeout_s, 7);
  BackendOptions<1> options;
  (void)options.set_option("compile_helper", "");
  EXPECT_FALSE(parse_option_update(process, options.view())->options.compile_helper);
}

TEST(OptionsTest, EveryComputeUnitOfTheBuilderHasItsMeaning) {
  using Unit = LoadOptionsBuilder::ComputeUnit;
  const std::pair<Unit, engine::ComputeUnits> units[] = {
      {Unit::ALL, engine::ComputeUnits::kAll},
      {Unit::CPU_ONLY, engine::ComputeUnits::kCpuOnly},
      {Unit::CPU_AND_GPU, engine::ComputeUnits::kCpuAndGpu},
      {Unit::CPU_AND_NE, engine::ComputeUnits::kCpuAndNeuralEngine},
  };
  for (const auto& [unit, meaning] : units) {
    LoadOptionsBuilder builder;
    builder.setComputeUnit(unit);
    const Result<DelegateOptions> options = parse_load_options(as_const(builder.view()));
    ASSERT_TRUE(options.ok());
    EXPECT_EQ(options->compute_units, meaning);
    EXPECT_EQ(*parse_compute_units(engine::name_of(engine::kComputeUnitNames, meaning)), meaning);
  }
}

template <size_t N, typename T>
Status load_failure(const char (&key)[N], T value) {
  BackendOptions<1> options;
  (void)options.set_option(key, value);
  return parse_load_options(as_const(options.view())).status();
}

TEST(OptionsTest, AnUnknownOptionIsNamedWithThoseThereAre) {
  const Status status = load_failure("compute_units", "all");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.artifact(), "compute_units");
  EXPECT_THAT(status.message(), HasSubstr("compute_unit, numeric_mode"));
  // Only set_option() resets states.
  EXPECT_EQ(load_failure("reset_states", true).artifact(), "reset_states");
}

TEST(OptionsTest, AWrongTypeIsNamed) {
  EXPECT_EQ(load_failure("threads", "2").message(), "the option takes an int, not a string");
  EXPECT_EQ(load_failure("threads", true).message(), "the option takes an int, not a bool");
  EXPECT_EQ(load_failure("engine", 1).message(), "the option takes a string, not an int");
  EXPECT_EQ(load_failure("compute_unit", true).message(), "the option takes a string, not a bool");
  EXPECT_EQ(load_failure("numeric_mode", 16).message(), "the option takes a string, not an int");
  EXPECT_EQ(load_failure("share_models", 1).message(), "the option takes a bool, not an int");
  EXPECT_EQ(load_failure("cache_budget_mb", true).message(), "the option takes an int, not a bool");
  EXPECT_EQ(load_failure("warm_up", 1).message(), "the option takes a bool, not an int");
  EXPECT_EQ(load_failure("cache_dir", 1).message(), "the option takes a string, not an int");
  EXPECT_EQ(load_failure("compile_helper", true).message(),
            "the option takes a string, not a bool");
  EXPECT_EQ(load_failure("compile_helper_timeout_s", "1").message(),
            "the option takes an int, not a string");
  EXPECT_EQ(load_failure("_use_new_cache", "yes").message(),
            "the option takes a bool, not a string");
}

TEST(OptionsTest, ABadValueIsNamedWithTheGoodOnes) {
  EXPECT_EQ(load_failure("compute_unit", "gpu").message(),
            "there is no value \"gpu\"; the values are: all, cpu_only, cpu_and_gpu, cpu_and_ne");
  EXPECT_EQ(load_failure("numeric_mode", "bfloat16").message(),
            "there is no value \"bfloat16\"; the values are: float32, float16, low_precision");
  EXPECT_EQ(load_failure("cache_verification", "sometimes").message(),
            "there is no value \"sometimes\"; the values are: first_use, sampled, full, none");
  EXPECT_THAT(load_failure("cache_budget_mb", -5).message(), HasSubstr("not -5"));
  EXPECT_THAT(load_failure("compile_helper_timeout_s", -5).message(), HasSubstr("not -5"));
  EXPECT_THAT(load_failure("compile_helper_memory_mb", -5).message(), HasSubstr("not -5"));
  EXPECT_THAT(load_failure("threads", -1).message(), HasSubstr("not -1"));
  EXPECT_THAT(load_failure("threads", 1 << 20).message(), HasSubstr("not 1048576"));
}

TEST(OptionsTest, AStringThatFillsItsArrayWithoutATerminatorIsReadToItsEnd) {
  BackendOption option;
  std::memcpy(option.key, "engine", 7);
  std::array<char, executorch::runtime::kMaxOptionValueLength> value;
  value.fill('e');
  option.value = value;
  const Result<DelegateOptions> options = parse_load_options({&option, 1});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->engine->size(), value.size());
  // The same for a key.
  std::memset(option.key, 'k', sizeof(option.key));
  EXPECT_EQ(parse_load_options({&option, 1}).status().artifact().size(), sizeof(option.key));
}

CompileSpec spec(const char* key, const std::string& value) {
  return {key, {const_cast<char*>(value.data()), value.size()}};
}

TEST(OptionsTest, OfCompileSpecsOnlyComputeUnitsIsRead) {
  const std::string units = "cpu_and_gpu";
  const std::string other = "float16";
  const std::vector<CompileSpec> specs = {
      spec("model_compute_precision", other), spec("compute_units", units),
      // Else a program could have programs started.
      spec("compile_helper", other), spec("something_newer", other)};
  const Result<DelegateOptions> options = parse_compile_specs({specs.data(), specs.size()});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->compute_units, engine::ComputeUnits::kCpuAndGpu);
  EXPECT_FALSE(options->engine || options->threads || options->numeric_mode ||
               options->compile_helper);

  const std::string bad = "cpu";
  const std::vector<CompileSpec> bad_specs = {spec("compute_units", bad)};
  const Status status = parse_compile_specs({bad_specs.data(), bad_specs.size()}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.artifact(), "compute_units");

  const std::vector<CompileSpec> hostile = {{nullptr, {nullptr, 3}},
                                            {"compute_units", {nullptr, 3}}};
  EXPECT_EQ(parse_compile_specs({hostile.data(), hostile.size()}).status().code(),
            StatusCode::kCorruptData);
}

TEST(OptionsTest, EarlierSourcesWin) {
  DelegateOptions load;
  load.threads = 1;
  DelegateOptions process;
  process.threads = 2;
  process.engine = "portable";
  process.share_models = true;
  DelegateOptions program;
  program.compute_units = engine::ComputeUnits::kCpuOnly;
  program.engine = "coreml";
  program.numeric_mode = engine::NumericMode::kFloat16;
  const DelegateOptions merged = load.or_else(process).or_else(program);
  EXPECT_EQ(merged.threads, 1);
  EXPECT_EQ(merged.engine, "portable");
  EXPECT_EQ(merged.compute_units, engine::ComputeUnits::kCpuOnly);
  EXPECT_EQ(merged.numeric_mode, engine::NumericMode::kFloat16);
  EXPECT_EQ(merged.share_models, true);
}

TEST(OptionsTest, AnUpdateAddsToWhatIsSetAndAnEmptyStringTakesItBack) {
  DelegateOptions current;
  current.threads = 4;
  current.engine = "portable";
  current.compute_units = engine::ComputeUnits::kCpuOnly;
  BackendOptions<4> options;
  (void)options.set_option("engine", "");
  (void)options.set_option("compute_unit", "");
  (void)options.set_option("numeric_mode", "float16");
  const Result<OptionUpdate> update = parse_option_update(current, options.view());
  ASSERT_TRUE(update.ok()) << update.status().to_string();
  EXPECT_FALSE(update->options.engine);
  EXPECT_FALSE(update->options.compute_units);
  EXPECT_EQ(update->options.numeric_mode, engine::NumericMode::kFloat16);
  EXPECT_EQ(update->options.threads, 4);
  EXPECT_FALSE(update->reset_states);
  // At load time an empty string is no compute unit.
  EXPECT_EQ(load_failure("compute_unit", "").code(), StatusCode::kInvalidArgument);
}

TEST(OptionsTest, ResetStatesTakesTrueOrAMethod) {
  BackendOptions<1> options;
  (void)options.set_option("reset_states", true);
  EXPECT_EQ(parse_option_update({}, options.view())->reset_states, "");
  (void)options.set_option("reset_states", false);
  EXPECT_FALSE(parse_option_update({}, options.view())->reset_states);
  (void)options.set_option("reset_states", "decode");
  EXPECT_EQ(parse_option_update({}, options.view())->reset_states, "decode");
  (void)options.set_option("reset_states", 1);
  EXPECT_EQ(parse_option_update({}, options.view()).status().message(),
            "the option takes true or the name of a method, not an int");
}

TEST(OptionsTest, OptionsCanBeReadBack) {
  DelegateOptions set;
  set.engine = "portable";
  set.compute_units = engine::ComputeUnits::kCpuAndGpu;
  set.threads = 5;
  set.compile_helper = "/helper";
  set.compile_helper_memory_mb = 8;
  BackendOptions<8> options;
  (void)options.set_option("engine", "");
  (void)options.set_option("compute_unit", "");
  (void)options.set_option("numeric_mode", "");
  (void)options.set_option("threads", 0);
  (void)options.set_option("compile_helper", "");
  (void)options.set_option("compile_helper_timeout_s", 1);
  (void)options.set_option("compile_helper_memory_mb", 1);
  (void)options.set_option("share_models", false);
  for (BackendOption& option : options.view()) ASSERT_TRUE(read_option(set, option).ok());
  const char* text = nullptr;
  int threads = 0;
  EXPECT_EQ(options.get_option("engine", text), executorch::runtime::Error::Ok);
  EXPECT_STREQ(text, "portable");
  EXPECT_EQ(options.get_option("compute_unit", text), executorch::runtime::Error::Ok);
  EXPECT_STREQ(text, "cpu_and_gpu");
  EXPECT_EQ(options.get_option("numeric_mode", text), executorch::runtime::Error::Ok);
  EXPECT_STREQ(text, "");
  EXPECT_EQ(options.get_option("threads", threads), executorch::runtime::Error::Ok);
  EXPECT_EQ(threads, 5);
  EXPECT_EQ(options.get_option("compile_helper", text), executorch::runtime::Error::Ok);
  EXPECT_STREQ(text, "/helper");
  int amount = 0;
  EXPECT_EQ(options.get_option("compile_helper_timeout_s", amount), executorch::runtime::Error::Ok);
  EXPECT_EQ(amount, 0);
  EXPECT_EQ(options.get_option("compile_helper_memory_mb", amount), executorch::runtime::Error::Ok);
  EXPECT_EQ(amount, 8);
  BackendOption unknown;
  std::memcpy(unknown.key, "colour", 7);
  EXPECT_EQ(read_option(set, unknown).artifact(), "colour");
}

}  // namespace
}  // namespace coreml_delegate
