#include "base/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace coreml_delegate {
namespace {

TEST(StatusTest, DefaultIsSuccess) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), StatusCode::kOk);
  EXPECT_EQ(status.message(), "");
  EXPECT_EQ(status.artifact(), "");
  EXPECT_TRUE(status.cause().ok());
  EXPECT_EQ(status.to_string(), "ok");
}

TEST(StatusTest, FailureHasCodeMessageAndArtifact) {
  const Status status = corrupt_data("the checksum differs", "weights/weight.bin");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_EQ(status.message(), "the checksum differs");
  EXPECT_EQ(status.artifact(), "weights/weight.bin");
  EXPECT_EQ(status.to_string(), "corrupt_data: the checksum differs [weights/weight.bin]");
}

TEST(StatusTest, AnnotateKeepsTheCodeAndTheCause) {
  const Status outer = io_error("disk error", "/a").annotate("cannot publish the model", "m");
  EXPECT_EQ(outer.code(), StatusCode::kIoError);
  EXPECT_EQ(outer.cause().message(), "disk error");
  EXPECT_EQ(outer.cause().artifact(), "/a");
  EXPECT_EQ(outer.to_string(), "io_error: cannot publish the model [m]; because disk error [/a]");
}

TEST(StatusTest, AnnotateAsChangesTheCodeOfTheOuterOnly) {
  const Status outer =
      not_found("no such key", "k").annotate_as(StatusCode::kCorruptData, "dangling", "ref");
  EXPECT_EQ(outer.code(), StatusCode::kCorruptData);
  EXPECT_EQ(outer.cause().code(), StatusCode::kNotFound);
}

TEST(StatusTest, AnnotatingSuccessIsSuccess) {
  EXPECT_TRUE(Status().annotate("x").ok());
  EXPECT_TRUE(Status().annotate_as(StatusCode::kIoError, "x").ok());
}

TEST(StatusTest, CopiesShare) {
  const Status status = internal_error("text");
  const Status copy = status;
  EXPECT_EQ(&copy.message(), &status.message());
}

TEST(StatusTest, EveryCodeHasItsOwnName) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(StatusCode::kInternal); ++code) {
    names.insert(status_code_name(static_cast<StatusCode>(code)));
  }
  EXPECT_EQ(names.size(), 13u);
  EXPECT_EQ(names.count("unknown"), 0u);
  EXPECT_EQ(status_code_name(static_cast<StatusCode>(999)), "unknown");
}

TEST(StatusTest, MakersHaveTheirCodes) {
  EXPECT_EQ(invalid_argument("").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(not_found("").code(), StatusCode::kNotFound);
  EXPECT_EQ(already_exists("").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(corrupt_data("").code(), StatusCode::kCorruptData);
  EXPECT_EQ(unsupported("").code(), StatusCode::kUnsupported);
  EXPECT_EQ(failed_precondition("").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(resource_exhausted("").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(io_error("").code(), StatusCode::kIoError);
  EXPECT_EQ(cancelled("").code(), StatusCode::kCancelled);
  EXPECT_EQ(engine_failure("").code(), StatusCode::kEngineFailure);
  EXPECT_EQ(internal_error("").code(), StatusCode::kInternal);
}

Result<std::unique_ptr<int>> half(int number) {
  if (number % 2 != 0) return invalid_argument("odd", std::to_string(number));
  return std::make_unique<int>(number / 2);
}

Result<int> quarter(int number) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<int> first, half(number));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<int> second, half(*first));
  return *second;
}

Status check_quarter(int number) {
  COREML_DELEGATE_RETURN_IF_ERROR(quarter(number).status());
  return {};
}

TEST(ResultTest, HasAValueOrAStatus) {
  const Result<int> one = quarter(4);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(*one, 1);
  EXPECT_TRUE(one.status().ok());
  const Result<int> none = quarter(6);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.status().artifact(), "3");
}

TEST(ResultTest, MovesAValueThatCannotBeCopied) {
  std::unique_ptr<int> value = half(8).value();
  EXPECT_EQ(*value, 4);
}

TEST(ResultTest, ReturnIfErrorPassesFailuresOn) {
  EXPECT_TRUE(check_quarter(8).ok());
  EXPECT_EQ(check_quarter(2).message(), "odd");
}

TEST(ResultTest, MadeFromSuccessIsAnInternalError) {
  const Result<int> result{Status()};
  EXPECT_EQ(result.status().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace coreml_delegate
