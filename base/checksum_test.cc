#include "base/checksum.h"

#include <gtest/gtest.h>

#include <string>

namespace coreml_delegate {
namespace {

// The reference values of the XXH64 specification (seed 0).
TEST(ChecksumTest, MatchesItsSpecification) {
  EXPECT_EQ(checksum({}), 0xEF46DB3751D8E999u);
  EXPECT_EQ(checksum(as_bytes("a")), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(checksum(as_bytes("abc")), 0x44BC2CF5AD770999u);
  EXPECT_EQ(checksum(as_bytes("Nobody inspects the spammish repetition")), 0xFBCEA83C8A378BF1u);
}

TEST(ChecksumTest, IsTheSameInPieces) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  for (const size_t piece : {1, 3, 31, 32, 33, 64, 100, 999}) {
    Checksum sum;
    for (size_t at = 0; at < text.size(); at += piece) sum.update(as_bytes(text.substr(at, piece)));
    EXPECT_EQ(sum.value(), checksum(as_bytes(text))) << piece;
  }
}

}  // namespace
}  // namespace coreml_delegate
