#include "runtime/engine/compile_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::HasSubstr;

const OptionsThatMatter kMatter{.when_compiled = {"numeric_mode"},
                                .when_loaded = {"compute_units", "threads"}};
const OptionsThatMatter kForCoreML{.when_compiled = {},
                                   .when_loaded = {"compute_units", "low_precision_accumulation",
                                                   "reshape_frequency", "specialization_strategy"}};

class CompileRequestTest : public ::testing::Test {
 protected:
  CompileRequest make(const LoadOptions& options, const OptionsThatMatter& matter = kMatter) {
    return make_request(engine_, matter, options).value();
  }
  Status check(const CompileRequest& compiled, const CompileRequest& asked,
               const std::string& function = "main") {
    return check_compiled_for(compiled.text, function, asked, "/folder");
  }

  FakeEngine engine_;
};

TEST_F(CompileRequestTest, EveryOptionComesBack) {
  for (const ComputeUnits units : {ComputeUnits::kAll, ComputeUnits::kCpuOnly,
                                   ComputeUnits::kCpuAndGpu, ComputeUnits::kCpuAndNeuralEngine}) {
    for (const NumericMode mode :
         {NumericMode::kFloat32, NumericMode::kFloat16, NumericMode::kLowPrecision}) {
      const auto read = read_request(engine_, make({.function_name = "f \"\\\n\u00e9",
                                                    .compute_units = units,
                                                    .numeric_mode = mode,
                                                    .threads = 7}));
      ASSERT_TRUE(read.ok()) << read.status().to_string();
      EXPECT_EQ(read->function_name, "f \"\\\n\u00e9");
      EXPECT_EQ(read->compute_units, units);
      EXPECT_EQ(read->numeric_mode, mode);
      EXPECT_EQ(read->threads, 7);
    }
  }
}

TEST_F(CompileRequestTest, HintsComeBack) {
  EXPECT_EQ(make({}, kForCoreML).load_text,
            "{\"compute_units\":\"all\",\"low_precision_accumulation\":\"false\","
            "\"reshape_frequency\":\"frequent\",\"specialization_strategy\":\"default\"}");
  for (const ReshapeFrequency frequency :
       {ReshapeFrequency::kFrequent, ReshapeFrequency::kInfrequent}) {
    for (const SpecializationStrategy strategy :
         {SpecializationStrategy::kDefault, SpecializationStrategy::kFastPrediction}) {
      for (const bool low : {false, true}) {
        const CompileRequest request = make({.reshape_frequency = frequency,
                                             .specialization_strategy = strategy,
                                             .low_precision_accumulation = low},
                                            kForCoreML);
        // They change nothing of what is compiled.
        EXPECT_EQ(request.text, make({}, kForCoreML).text);
        const auto read = read_request(engine_, request);
        ASSERT_TRUE(read.ok()) << read.status().to_string();
        EXPECT_EQ(read->reshape_frequency, frequency);
        EXPECT_EQ(read->specialization_strategy, strategy);
        EXPECT_EQ(read->low_precision_accumulation, low);
      }
    }
  }
}

TEST_F(CompileRequestTest, TheTextIsCanonicalAndSaysWhatTheAttributesDo) {
  const CompileRequest request = make({.function_name = "main", .threads = 2});
  EXPECT_EQ(request.text,
            "{\"engine\":\"fake\",\"fingerprint\":\"fake 1\",\"function\":\"main\","
            "\"numeric_mode\":\"float32\",\"platform\":\"" +
                request.attributes.at("platform") + "\"}");
  EXPECT_EQ(request.load_text, "{\"compute_units\":\"all\",\"threads\":\"2\"}");
  EXPECT_EQ(request.attributes.size(), 5u);
}

// What the engine does not name is in neither text, and reads as its default.
TEST_F(CompileRequestTest, WhatDoesNotMatterIsNotThere) {
  const OptionsThatMatter nothing;
  const LoadOptions options{
      .compute_units = ComputeUnits::kCpuOnly, .numeric_mode = NumericMode::kFloat16, .threads = 3};
  EXPECT_EQ(make(options, nothing).text, make({}, nothing).text);
  EXPECT_EQ(make(options, nothing).load_text, "{}");
  const LoadOptions read = read_request(engine_, make(options, nothing)).value();
  EXPECT_EQ(read.compute_units, ComputeUnits::kAll);
  EXPECT_EQ(read.numeric_mode, NumericMode::kFloat32);
  EXPECT_EQ(read.threads, 0);
  EXPECT_EQ(
      make_request(engine_, {.when_compiled = {"nonsense"}, .when_loaded = {}}, {}).status().code(),
      StatusCode::kInternal);
}

TEST_F(CompileRequestTest, RequestsOfOthersAreRefused) {
  const FakeEngine newer({.fingerprint = "fake 2"});
  const Status fingerprint = read_request(newer, make({})).status();
  EXPECT_EQ(fingerprint.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(fingerprint.message(),
              HasSubstr("fingerprint \"fake 1\", but here it is \"fake 2\""));
  const FakeEngine other({.name = "other"});
  EXPECT_EQ(read_request(other, make({})).status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(CompileRequestTest, OtherTextsAreRefused) {
  CompileRequest request = make({});
  const auto code = [&] { return read_request(engine_, request).status().code(); };
  for (const char* const text : {"", "[]", "1", "{", "{\"engine\":1}"}) {
    request.text = text;
    EXPECT_EQ(code(), StatusCode::kInvalidArgument) << text;
  }
  request = make({});
  for (const char* const text :
       {"", "{\"threads\":\"-1\"}", "{\"threads\":\"1x\"}", "{\"threads\":\"99999999999\"}",
        "{\"threads\":2}", "{\"compute_units\":\"some\"}"}) {
    request.load_text = text;
    EXPECT_EQ(code(), StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(make_request(engine_, kMatter, {.function_name = "\xff"}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(CompileRequestTest, AFolderIsComparedWithWhatIsAskedFor) {
  const CompileRequest plain = make({});
  EXPECT_TRUE(check(plain, plain).ok());
  EXPECT_TRUE(check(plain, make({.function_name = "main", .threads = 4})).ok());
  EXPECT_TRUE(check(make({.function_name = "main"}), plain).ok()) << "whichever it holds";
  const Status function = check(plain, make({.function_name = "other"}));
  EXPECT_EQ(function.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(function.message(), HasSubstr("the function \"main\""));
  const Status mode = check(plain, make({.numeric_mode = NumericMode::kFloat16}));
  EXPECT_EQ(mode.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(mode.message(), HasSubstr("numeric_mode \"float32\", but here it is \"float16\""));
  // An option that one of the two does not know.
  const Status unknown = check(make({}, OptionsThatMatter()), plain);
  EXPECT_THAT(unknown.message(), HasSubstr("numeric_mode \"\", but here it is \"float32\""));
  EXPECT_EQ(check_compiled_for("no json", "main", plain, "/folder").code(),
            StatusCode::kCorruptData);
}

TEST_F(CompileRequestTest, OptionsAreParsedByTheirNames) {
  LoadOptions options;
  options.threads = 7;
  ASSERT_TRUE(parse_options("", options).ok());
  ASSERT_TRUE(parse_options("numeric_mode=float16  low_precision_accumulation=true", options).ok());
  EXPECT_EQ(options.numeric_mode, NumericMode::kFloat16);
  EXPECT_TRUE(options.low_precision_accumulation);
  EXPECT_EQ(options.threads, 7);
  ASSERT_TRUE(parse_options("threads=2", options).ok());
  EXPECT_EQ(options.threads, 2);

  EXPECT_EQ(parse_options("numeric_mode=half", options).message(),
            "numeric_mode must be one of float32, float16, low_precision");
  EXPECT_EQ(parse_options("threads=-1", options).message(),
            "threads must be a number of 0 or more");
  EXPECT_EQ(parse_options("threads", options).message(), "an option must be written as name=value");
  const Status unknown = parse_options("function=f", options);
  EXPECT_EQ(unknown.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(unknown.artifact(), "function");
  EXPECT_EQ(unknown.message(),
            "engines have no such option; the options are: compute_units, numeric_mode, "
            "reshape_frequency, specialization_strategy, low_precision_accumulation, threads");
}

}  // namespace
}  // namespace coreml_delegate::engine
