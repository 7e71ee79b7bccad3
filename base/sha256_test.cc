#include "base/sha256.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace coreml_delegate {
namespace {

std::string hex_of(std::string_view text, Sha256::Implementation implementation) {
  Sha256 hash(implementation);
  hash.update(as_bytes(text));
  return to_hex(hash.finish());
}

class Sha256Test : public testing::TestWithParam<Sha256::Implementation> {};

INSTANTIATE_TEST_SUITE_P(Implementations, Sha256Test,
                         testing::Values(Sha256::Implementation::kFastest,
                                         Sha256::Implementation::kPortable),
                         [](const auto& info) {
                           return info.param == Sha256::Implementation::kFastest ? "Fastest"
                                                                                 : "Portable";
                         });

// The examples of FIPS 180-4 and of NIST's test vectors.
TEST_P(Sha256Test, FipsVectors) {
  EXPECT_EQ(hex_of("", GetParam()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_of("abc", GetParam()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", GetParam()),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex_of("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
                   "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                   GetParam()),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(hex_of(std::string(1'000'000, 'a'), GetParam()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_P(Sha256Test, AnySplitGivesTheSameDigest) {
  std::mt19937 random(7);
  std::string text(1000, '\0');
  for (char& c : text) c = static_cast<char>(random());
  const std::string expected = hex_of(text, Sha256::Implementation::kPortable);
  for (int round = 0; round < 200; ++round) {
    Sha256 hash(GetParam());
    size_t at = 0;
    while (at < text.size()) {
      const size_t length = std::min<size_t>(random() % 150, text.size() - at);
      hash.update(as_bytes(std::string_view(text).substr(at, length)));
      at += length;
    }
    ASSERT_EQ(to_hex(hash.finish()), expected) << "round " << round;
  }
}

// Around the places where padding goes into a block of its own.
TEST(Sha256ImplementationsTest, AgreeForEveryLength) {
  for (size_t length = 0; length < 300; ++length) {
    const std::string text(length, static_cast<char>('a' + length % 26));
    ASSERT_EQ(hex_of(text, Sha256::Implementation::kFastest),
              hex_of(text, Sha256::Implementation::kPortable))
        << "length " << length;
  }
}

TEST(Sha256ImplementationsTest, ReadsUnalignedInput) {
  const std::string text(257, 'x');
  EXPECT_EQ(to_hex(sha256(as_bytes(text).subspan(1))),
            to_hex(sha256(as_bytes(std::string(256, 'x')))));
}

}  // namespace
}  // namespace coreml_delegate
