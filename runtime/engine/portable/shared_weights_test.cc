#include "runtime/engine/portable/shared_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/sha256.h"

namespace coreml_delegate::engine::portable {
namespace {

using ::testing::HasSubstr;

// Bytes of their own.
Bytes owned(const std::string& text) {
  const auto owner = std::make_shared<const std::string>(text);
  return Bytes(as_bytes(*owner), owner);
}

std::string digest_of(const Bytes& bytes) { return to_hex(sha256(bytes.span())); }

Bytes share(const std::string& memory, const Bytes& bytes) {
  return share_weight(memory, digest_of(bytes), bytes);
}

TEST(SharedWeightsTest, EqualOnesAreThoseOfTheFirst) {
  const Bytes first = owned("a weight of two models"), second = owned("a weight of two models");
  ASSERT_NE(first.data(), second.data());
  const Bytes shared = share("", first), again = share("", second);
  EXPECT_EQ(shared.data(), first.data());
  EXPECT_EQ(again.data(), first.data());
  EXPECT_EQ(as_text(again.span()), "a weight of two models");
}

TEST(SharedWeightsTest, WhoeverHasACopyKeepsTheBytesAlive) {
  std::weak_ptr<const void> owner;
  Bytes kept;
  {
    const Bytes first = owned("bytes that outlive the first model");
    owner = first.owner();
    const Bytes shared = share("", first);
    kept = share("", owned("bytes that outlive the first model"));
  }
  EXPECT_FALSE(owner.expired());
  EXPECT_EQ(as_text(kept.span()), "bytes that outlive the first model");
  kept = Bytes();
  EXPECT_TRUE(owner.expired());
  // What comes later has nothing of them.
  const Bytes later = owned("bytes that outlive the first model");
  EXPECT_EQ(share("", later).data(), later.data());
}

// A program's memory may go when the program does.
TEST(SharedWeightsTest, MemoryOfAProgramIsForItsOwnModels) {
  const Bytes first = owned("of a program"), second = owned("of a program"),
              third = owned("of a program");
  const Bytes of_one = share("program 1", first);
  EXPECT_EQ(share("program 2", second).data(), second.data());
  EXPECT_EQ(share("", third).data(), third.data());
  EXPECT_EQ(share("program 1", third).data(), first.data());
}

TEST(WeightLayoutTest, EachHasAPlaceAndEqualOnesTheSame) {
  WeightLayout layout;
  const Bytes ten = owned(std::string(10, 'a')), more = owned(std::string(65, 'b')),
              equal = owned(std::string(10, 'a'));
  EXPECT_EQ(layout.place(ten).offset, 0);
  EXPECT_EQ(layout.place(more).offset, 64);
  EXPECT_EQ(layout.place(equal).offset, 0);
  EXPECT_EQ(layout.place(equal).offset, 0);
  EXPECT_EQ(layout.place(more).digest, digest_of(more));
  EXPECT_EQ(layout.size(), 192u);
  EXPECT_EQ(layout.weights().size(), 2u);
}

TEST(WeightFileTest, AWeightLiesInTheFile) {
  const Bytes file = owned(std::string(64, 'x') + "the second weight");
  const std::string digest = digest_of(owned("the second weight"));
  const WeightFileScope scope(file);
  const Result<PlacedWeight> weight = find_weight(64, 17, digest);
  ASSERT_TRUE(weight.ok()) << weight.status().to_string();
  EXPECT_EQ(weight->bytes.data(), file.data() + 64);
  EXPECT_EQ(weight->bytes.size(), 17u);
  EXPECT_EQ(weight->offset, 64);
  EXPECT_EQ(weight->digest, digest);
}

TEST(WeightFileTest, WhatDoesNotLieInTheFileIsCorrupt) {
  const Bytes file = owned(std::string(100, 'x'));
  {
    const WeightFileScope scope(file);
    EXPECT_TRUE(find_weight(0, 100, "whole").ok());
    EXPECT_TRUE(find_weight(100, 0, "nothing").ok());
    for (const auto& [offset, size] : {std::pair<int64_t, uint64_t>{-1, 1},
                                       {0, 101},
                                       {100, 1},
                                       {101, 0},
                                       {INT64_MIN, 1},
                                       {INT64_MAX, 1},
                                       {1, UINT64_MAX}}) {
      const Result<PlacedWeight> weight = find_weight(offset, size, "digest");
      EXPECT_EQ(weight.status().code(), StatusCode::kCorruptData) << offset << " " << size;
    }
  }
  EXPECT_EQ(find_weight(0, 1, "digest").status().code(), StatusCode::kCorruptData);
  EXPECT_THAT(find_weight(0, 1, "digest").status().to_string(), HasSubstr("no file of weights"));
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
