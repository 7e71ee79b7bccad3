#include "base/tensor_type.h"

#include <gtest/gtest.h>

namespace coreml_delegate {
namespace {

TensorSpec spec(std::vector<Dimension> shape) {
  return {"x", DataType::kFloat32, std::move(shape), {}};
}

TEST(TensorTypeTest, SizesAndNames) {
  EXPECT_EQ(data_type_size(DataType::kInvalid), 0u);
  EXPECT_EQ(data_type_size(DataType::kBool), 1u);
  EXPECT_EQ(data_type_size(DataType::kFloat16), 2u);
  EXPECT_EQ(data_type_size(DataType::kInt32), 4u);
  EXPECT_EQ(data_type_size(DataType::kFloat64), 8u);
  EXPECT_EQ(data_type_size(static_cast<DataType>(200)), 0u);
  EXPECT_EQ(data_type_name(DataType::kUInt16), "uint16");
  EXPECT_EQ(data_type_name(static_cast<DataType>(200)), "invalid");
}

TEST(TensorTypeTest, AcceptsWhatLiesInTheRanges) {
  const TensorSpec tensor = spec({{1, 1}, {2, 5}, {0, Dimension::kUnbounded}});
  const int64_t good[] = {1, 5, 1'000'000'000'000};
  const int64_t low[] = {1, 1, 3};
  const int64_t high[] = {1, 6, 3};
  const int64_t negative[] = {1, 2, -1};
  EXPECT_TRUE(tensor.accepts(good, 3));
  EXPECT_FALSE(tensor.accepts(good, 2));
  EXPECT_FALSE(tensor.accepts(low, 3));
  EXPECT_FALSE(tensor.accepts(high, 3));
  EXPECT_FALSE(tensor.accepts(negative, 3));
  EXPECT_FALSE(tensor.is_static());
  EXPECT_TRUE(spec({{1, 1}, {4, 4}}).is_static());
}

TEST(TensorTypeTest, AcceptsOnlyEnumeratedShapesWhereTheyAre) {
  TensorSpec tensor = spec({{1, 4}, {8, 16}});
  tensor.enumerated_shapes = {{1, 8}, {4, 16}};
  const int64_t first[] = {1, 8};
  const int64_t mixed[] = {1, 16};
  EXPECT_TRUE(tensor.accepts(first, 2));
  EXPECT_FALSE(tensor.accepts(mixed, 2));
  EXPECT_EQ(tensor.to_string(), "x: float32{[1, 8], [4, 16]}");
}

TEST(TensorTypeTest, ScalarsHaveNoDimensions) {
  EXPECT_TRUE(spec({}).accepts(nullptr, 0));
  EXPECT_EQ(spec({}).to_string(), "x: float32[]");
}

TEST(TensorTypeTest, ToString) {
  EXPECT_EQ(spec({{1, 1}, {3, 3}, {1, 512}, {2, Dimension::kUnbounded}}).to_string(),
            "x: float32[1, 3, 1..512, 2..]");
  const int64_t extents[] = {2, 3};
  EXPECT_EQ(shape_to_string(extents, 2), "[2, 3]");
}

}  // namespace
}  // namespace coreml_delegate
