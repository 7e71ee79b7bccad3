#include "blob/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace coreml_delegate::blob {
namespace {

using testing::HasSubstr;

std::string failure(const std::string& text) { return parse_json(text, "it").status().to_string(); }

TEST(ParseJsonTest, Parses) {
  const Result<nlohmann::json> value = parse_json(" {\"a\": [1, \"\\u00fc\"], \"b\": {}} ", "it");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ((*value)["a"][0], 1);
  EXPECT_EQ((*value)["a"][1], "\xc3\xbc");
  EXPECT_EQ(find_member(*value, "c"), nullptr);
  EXPECT_TRUE(find_member(*value, "b")->is_object());
}

TEST(ParseJsonTest, RefusesWithoutThrowing) {
  for (const char* text : {"", "{", "}", "[1,]", "nul", "{\"a\":}", "\"\xff\"", "\"\\ud800\"",
                           "1 2", "\"a", "\"\\", "{1:2}", "[1e999999]"}) {
    EXPECT_THAT(failure(text), HasSubstr("it is not JSON in UTF-8")) << text;
  }
}

TEST(ParseJsonTest, DepthIsLimited) {
  EXPECT_TRUE(parse_json(std::string(16, '[') + std::string(16, ']'), "it").ok());
  EXPECT_THAT(failure(std::string(17, '[') + std::string(17, ']')), HasSubstr("16 levels"));
  EXPECT_THAT(failure(std::string(1'000'000, '[')), HasSubstr("16 levels"));
  EXPECT_TRUE(parse_json("\"" + std::string(100, '[') + "\\\"[\"", "it").ok()) << "in a string";
}

TEST(ParseJsonTest, NamesOccurOnce) {
  EXPECT_THAT(failure("{\"a\":1,\"b\":{\"c\":1,\"c\":2}}"), HasSubstr("the name 'c' twice"));
  EXPECT_TRUE(parse_json("{\"a\":{\"x\":1},\"b\":{\"x\":1}}", "it").ok());
}

TEST(ParseJsonTest, LengthIsLimited) {
  EXPECT_THAT(failure(std::string(kMaxJsonBytes + 1, ' ')), HasSubstr("64 MiB"));
}

}  // namespace
}  // namespace coreml_delegate::blob
