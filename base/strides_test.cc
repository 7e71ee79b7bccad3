#include "base/strides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coreml_delegate {
namespace {

using ::testing::ElementsAre;
using Extents = std::vector<int64_t>;

TEST(StridesTest, OfContiguousTensors) {
  EXPECT_THAT(contiguous_strides(Extents{2, 3, 4}), ElementsAre(12, 4, 1));
  EXPECT_THAT(contiguous_strides(Extents{2, 0, 4}), ElementsAre(4, 4, 1));
  EXPECT_TRUE(contiguous_strides(Extents{}).empty());
  Extents strides(2, -1);
  contiguous_strides(Extents{5, 7}, strides);
  EXPECT_THAT(strides, ElementsAre(7, 1));
}

TEST(StridesTest, OfWhatIsBroadcast) {
  EXPECT_THAT(broadcast_strides(Extents{2, 3, 4}, Extents{2, 3, 4}), ElementsAre(12, 4, 1));
  EXPECT_THAT(broadcast_strides(Extents{3, 1}, Extents{2, 3, 4}), ElementsAre(0, 1, 0));
  EXPECT_THAT(broadcast_strides(Extents{2, 1, 4}, Extents{2, 3, 4}), ElementsAre(4, 0, 1));
  EXPECT_THAT(broadcast_strides(Extents{}, Extents{2, 3}), ElementsAre(0, 0));
  EXPECT_TRUE(broadcast_strides(Extents{}, Extents{}).empty());
}

TEST(StridesTest, WhatIsContiguous) {
  EXPECT_TRUE(is_contiguous(Extents{}, Extents{}));
  EXPECT_TRUE(is_contiguous(Extents{2, 3}, Extents{3, 1}));
  EXPECT_TRUE(is_contiguous(Extents{1, 3}, Extents{17, 1}));
  EXPECT_TRUE(is_contiguous(Extents{2, 0}, Extents{5, 9}));
  EXPECT_TRUE(is_contiguous(Extents{0, 2}, Extents{5, 9})) << "there are no elements";
  EXPECT_FALSE(is_contiguous(Extents{2, 3}, Extents{4, 1}));
  EXPECT_FALSE(is_contiguous(Extents{2, 3}, Extents{1, 2}));
  EXPECT_FALSE(is_contiguous(Extents{2, 3}, Extents{1}));
  EXPECT_FALSE(is_contiguous(Extents{2, 3}, Extents{}));
}

}  // namespace
}  // namespace coreml_delegate
