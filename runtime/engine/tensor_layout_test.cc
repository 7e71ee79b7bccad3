#include "runtime/engine/tensor_layout.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::ElementsAre;
using Extents = std::vector<int64_t>;

TEST(TensorLayout, WhatSharesNoMemory) {
  EXPECT_TRUE(is_disjoint(Extents{2, 3}, Extents{3, 1}));
  EXPECT_TRUE(is_disjoint(Extents{2, 3}, Extents{1, 2})) << "transposed";
  EXPECT_TRUE(is_disjoint(Extents{2, 3}, Extents{8, 2})) << "with gaps";
  EXPECT_TRUE(is_disjoint(Extents{1, 3}, Extents{0, 1}));
  EXPECT_FALSE(is_disjoint(Extents{2, 3}, Extents{0, 1})) << "broadcast";
  EXPECT_FALSE(is_disjoint(Extents{2, 3}, Extents{2, 1})) << "overlapping rows";
  EXPECT_FALSE(is_disjoint(Extents{2, 3}, Extents{-3, 1}));
  EXPECT_FALSE(is_disjoint(Extents{2, 2}, Extents{INT64_MAX, INT64_MAX}));
}

TEST(TensorLayout, CountsAndSpans) {
  EXPECT_EQ(element_count(Extents{}), 1);
  EXPECT_EQ(element_count(Extents{2, 0}), 0);
  EXPECT_EQ(element_count(Extents{-1, 2}), -1);
  EXPECT_EQ(element_count(Extents{INT64_MAX, 2}), -1);
  EXPECT_EQ(element_span(Extents{2, 3}, Extents{8, 2}), 13);
  EXPECT_EQ(element_span(Extents{2, 0}, Extents{8, 2}), 0);
  EXPECT_EQ(element_span(Extents{}, Extents{}), 1);
}

TEST(TensorLayout, CopiesBetweenLayouts) {
  const std::vector<int32_t> rows = {0, 1, 2, 3, 4, 5};
  std::vector<int32_t> columns(6, -1);
  copy_strided(Extents{2, 3}, 4, rows.data(), Extents{3, 1}, columns.data(), Extents{1, 2});
  EXPECT_THAT(columns, ElementsAre(0, 3, 1, 4, 2, 5));
  std::vector<int32_t> gaps(7, -1);
  copy_strided(Extents{2, 3}, 4, columns.data(), Extents{1, 2}, gaps.data(), Extents{4, 1});
  EXPECT_THAT(gaps, ElementsAre(0, 1, 2, -1, 3, 4, 5));
  std::vector<int32_t> back(6, -1);
  copy_strided(Extents{2, 3}, 4, gaps.data(), Extents{4, 1}, back.data(), {});
  EXPECT_EQ(back, rows);
  int32_t scalar = 0;
  copy_strided(Extents{}, 4, rows.data() + 5, {}, &scalar, {});
  EXPECT_EQ(scalar, 5);
  copy_strided(Extents{0, 3}, 4, nullptr, Extents{3, 1}, nullptr, Extents{3, 1});
}

}  // namespace
}  // namespace coreml_delegate::engine
