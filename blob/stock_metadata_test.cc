// The forms that are refused are in testdata/corrupt (stock_metadata_*, stock_reference_*).

#include "blob/stock_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace coreml_delegate::blob {
namespace {

TEST(StockMetadataTest, OneMethod) {
  const auto functions = parse_stock_metadata(
      as_bytes("{\"inputNames\":[\"b\",\"a\"],\"outputNames\":[\"y\"],\"identifier\":\"i\"}"));
  ASSERT_TRUE(functions.ok()) << functions.status().to_string();
  ASSERT_EQ(functions->size(), 1u);
  const Function& function = (*functions)[0];
  EXPECT_EQ(function.name, "");
  ASSERT_EQ(function.inputs.size(), 2u);
  EXPECT_EQ(function.inputs[0].name, "b") << "the order of the call";
  EXPECT_EQ(function.inputs[1].name, "a");
  EXPECT_EQ(function.inputs[0].dtype, DataType::kInvalid);
  EXPECT_EQ(function.outputs[0].name, "y");
}

TEST(StockMetadataTest, SeveralMethods) {
  const auto functions = parse_stock_metadata(
      as_bytes("{\"identifier\":\"i\",\"methods\":{\"z\":{\"inputNames\":[\"x\"]},\"a\":{}}}"));
  ASSERT_TRUE(functions.ok()) << functions.status().to_string();
  ASSERT_EQ(functions->size(), 2u);
  EXPECT_EQ((*functions)[0].name, "a");
  EXPECT_EQ((*functions)[1].name, "z");
  EXPECT_EQ((*functions)[1].method, "z");
  EXPECT_EQ((*functions)[1].inputs[0].name, "x");
  EXPECT_TRUE((*functions)[0].inputs.empty()) << "missing means empty";
}

TEST(StockReferenceTest, Reads) {
  EXPECT_FALSE(is_stock_reference(as_bytes("CMJ")));
  EXPECT_FALSE(is_stock_reference(as_bytes("xCMJR")));
  const std::string text =
      "CMJR{\"version\": 1, \"key\": \"coreml_k\", \"functionName\": \"forward\"}";
  for (const std::string& bytes : {text, text + std::string(7, '\0')}) {
    ASSERT_TRUE(is_stock_reference(as_bytes(bytes)));
    const Result<StockReference> reference = parse_stock_reference(as_bytes(bytes));
    ASSERT_TRUE(reference.ok()) << reference.status().to_string();
    EXPECT_EQ(reference->key, "coreml_k");
    EXPECT_EQ(reference->function_name, "forward");
  }
}

}  // namespace
}  // namespace coreml_delegate::blob
