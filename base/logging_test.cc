#include "base/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace coreml_delegate {
namespace {

struct Message {
  LogLevel level;
  std::string file;
  int line;
  std::string text;
};
std::vector<Message>& messages() {
  static std::vector<Message> list;
  return list;
}
void collect(LogLevel level, const char* file, int line, std::string_view message) {
  messages().push_back({level, file, line, std::string(message)});
}

class LoggingTest : public testing::Test {
 protected:
  LoggingTest() : sink_(set_log_sink(collect)), level_(set_log_level(LogLevel::kInfo)) {
    messages().clear();
  }
  ~LoggingTest() override {
    set_log_sink(sink_);
    set_log_level(level_);
  }

 private:
  const LogSink sink_;
  const LogLevel level_;
};

int count_evaluation(int& count) { return ++count; }

TEST_F(LoggingTest, FormatsAndSaysWhere) {
  COREML_DELEGATE_LOG(kWarning, "%d of %s", 3, "four");
  const int line = __LINE__ - 1;
  ASSERT_EQ(messages().size(), 1u);
  EXPECT_EQ(messages()[0].level, LogLevel::kWarning);
  EXPECT_EQ(messages()[0].text, "3 of four");
  EXPECT_THAT(messages()[0].file, testing::EndsWith("logging_test.cc"));
  EXPECT_EQ(messages()[0].line, line);
}

TEST_F(LoggingTest, ArgumentsOfALevelThatIsOffAreNotEvaluated) {
  int evaluated = 0;
  COREML_DELEGATE_LOG(kDebug, "%d", count_evaluation(evaluated));
  EXPECT_EQ(evaluated, 0);
  EXPECT_TRUE(messages().empty());
  EXPECT_EQ(set_log_level(LogLevel::kDebug), LogLevel::kInfo);
  COREML_DELEGATE_LOG(kDebug, "%d", count_evaluation(evaluated));
  EXPECT_EQ(evaluated, 1);
  EXPECT_EQ(messages().size(), 1u);
}

TEST_F(LoggingTest, LongMessagesAreWholeUpToTheLimit) {
  const std::string text(10'000, 'x');
  COREML_DELEGATE_LOG(kInfo, "%s", text.c_str());
  const std::string huge(100'000, 'y');
  COREML_DELEGATE_LOG(kInfo, "%s", huge.c_str());
  ASSERT_EQ(messages().size(), 2u);
  EXPECT_EQ(messages()[0].text, text);
  EXPECT_EQ(messages()[1].text, huge.substr(0, 65536));
}

TEST_F(LoggingTest, StatusIsLoggedWithItsCauses) {
  COREML_DELEGATE_LOG_STATUS(kError, Status());
  COREML_DELEGATE_LOG_STATUS(kError, io_error("inner", "/a").annotate("outer"));
  ASSERT_EQ(messages().size(), 1u);
  EXPECT_EQ(messages()[0].text, "io_error: outer; because inner [/a]");
}

TEST_F(LoggingTest, StandardErrorWithoutASink) {
  const LogSink before = set_log_sink(nullptr);
  EXPECT_EQ(before, &collect);
  testing::internal::CaptureStderr();
  COREML_DELEGATE_LOG(kError, "to stderr");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, testing::MatchesRegex("E logging_test.cc:[0-9]+\\] to stderr\n"));
}

}  // namespace
}  // namespace coreml_delegate
