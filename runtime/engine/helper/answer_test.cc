#include "runtime/engine/helper/answer.h"

#include <gtest/gtest.h>

namespace coreml_delegate::engine::helper {
namespace {

TEST(AnswerTest, SuccessComesAcross) {
  const auto answer = answer_from_json(to_json({.status = {}, .function = "main \"1\"\n"}));
  ASSERT_TRUE(answer.ok()) << answer.status().to_string();
  EXPECT_TRUE(answer->status.ok());
  EXPECT_EQ(answer->function, "main \"1\"\n");
}

TEST(AnswerTest, EveryCodeComesAcross) {
  for (int32_t i = 1; i <= static_cast<int32_t>(StatusCode::kInternal); ++i) {
    const Status status(static_cast<StatusCode>(i), "message", "artifact");
    const auto answer = answer_from_json(to_json({.status = status, .function = {}}));
    ASSERT_TRUE(answer.ok()) << answer.status().to_string();
    EXPECT_EQ(answer->status.code(), status.code());
    EXPECT_EQ(answer->status.to_string(), status.to_string());
  }
}

TEST(AnswerTest, CausesComeAcrossInOrder) {
  const Status status = unsupported("no such operation", "conv \"é\"")
                            .annotate("translate the function", "main")
                            .annotate_as(StatusCode::kInternal, "compile", "model\\1");
  const auto answer = answer_from_json(to_json({.status = status, .function = {}}));
  ASSERT_TRUE(answer.ok()) << answer.status().to_string();
  EXPECT_EQ(answer->status.to_string(), status.to_string());
  EXPECT_EQ(answer->status.cause().cause().code(), StatusCode::kUnsupported);
}

TEST(AnswerTest, IsNeverTooLong) {
  Status status = corrupt_data(std::string(100'000, '\x01'), std::string(100'000, '\xff'));
  for (int i = 0; i < 1000; ++i) status = status.annotate(std::string(1000, 'x'));
  const std::string text = to_json({.status = status, .function = std::string(100'000, 'f')});
  EXPECT_LE(text.size(), kLongestAnswer);
  const auto answer = answer_from_json(text);
  ASSERT_TRUE(answer.ok()) << answer.status().to_string();
  EXPECT_EQ(answer->status.code(), StatusCode::kCorruptData);
}

TEST(AnswerTest, WhatIsNoAnswerIsRefused) {
  const std::string good = to_json({.status = internal_error("x", "y"), .function = "f"});
  for (size_t size = 0; size + 1 < good.size(); ++size) {
    EXPECT_FALSE(answer_from_json(good.substr(0, size)).ok()) << size;
  }
  const char* const bad[] = {
      "[]",
      "null",
      R"({"format":1,"function":"","failures":[]})",
      R"({"format":"coreml compile helper 1","function":7,"failures":[]})",
      R"({"format":"coreml compile helper 1","function":"","failures":{}})",
      R"({"format":"coreml compile helper 1","function":"","failures":[7]})",
      R"({"format":"coreml compile helper 1","function":"","failures":[{"code":"ok"}]})",
  };
  for (const char* const text : bad) EXPECT_FALSE(answer_from_json(text).ok()) << text;
  EXPECT_FALSE(answer_from_json(std::string(60'000, '[')).ok());
}

}  // namespace
}  // namespace coreml_delegate::engine::helper
