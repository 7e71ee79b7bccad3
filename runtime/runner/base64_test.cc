#include "runtime/runner/base64.h"

#include <gtest/gtest.h>

#include <string_view>

namespace coreml_delegate::runner {
namespace {

// The vectors of RFC 4648, section 10, and all six-bit digits.
TEST(Base64Test, GivesWhatTheStandardSays) {
  EXPECT_EQ(to_base64(as_bytes("")), "");
  EXPECT_EQ(to_base64(as_bytes("f")), "Zg==");
  EXPECT_EQ(to_base64(as_bytes("fo")), "Zm8=");
  EXPECT_EQ(to_base64(as_bytes("foo")), "Zm9v");
  EXPECT_EQ(to_base64(as_bytes("foob")), "Zm9vYg==");
  EXPECT_EQ(to_base64(as_bytes("fooba")), "Zm9vYmE=");
  EXPECT_EQ(to_base64(as_bytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(to_base64(as_bytes(std::string_view("\xff\xef\xbe\x00\x10\x83", 6))), "/+++ABCD");
}

}  // namespace
}  // namespace coreml_delegate::runner
