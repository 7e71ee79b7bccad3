#include "runtime/engine/portable/function_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace coreml_delegate::engine::portable {
namespace {

using ::testing::HasSubstr;

FunctionPlan example() {
  FunctionPlan plan;
  plan.description.name = "main";
  plan.description.inputs = {{"x", DataType::kFloat16, {{1, 8}, {3, 3}}, {}},
                             {"caf\xc3\xa9 \"y\"\\", DataType::kInt32, {{2, 4}}, {{2}, {4}}}};
  plan.inputs = {{1, false}, {0, true}};
  plan.description.outputs = {{"z", DataType::kFloat64, {{0, Dimension::kUnbounded}}, {}}};
  plan.outputs = {{2, false}};
  plan.description.states = {{"cache", DataType::kFloat16, {{4, 4}}, {}},
                             {"table", DataType::kInt32, {{1, 1}}, {}}};
  plan.states = {{DataType::kFloat32, 2, 1}, {DataType::kInt32, 3, std::nullopt}};
  plan.operations = {{"node_1", {"z", "add"}}, {"node_2", {"w", "conv"}}};
  plan.description.images = {{"x", ColorLayout::kBgr}};
  plan.description.default_values = {{"x", -std::numeric_limits<double>::infinity()}};
  plan.description.classifier = Classifier{"label", "z", {"a \"b\"", "c"}, {}};
  return plan;
}

TEST(FunctionPlan, SurvivesJson) {
  const FunctionPlan plan = example();
  const Result<FunctionPlan> read = function_plan_from_json(to_json(plan));
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  EXPECT_EQ(read->description.name, plan.description.name);
  EXPECT_EQ(read->description.inputs, plan.description.inputs);
  EXPECT_EQ(read->description.outputs, plan.description.outputs);
  EXPECT_EQ(read->description.states, plan.description.states);
  EXPECT_EQ(read->description.images, plan.description.images);
  EXPECT_EQ(read->description.default_values, plan.description.default_values);
  EXPECT_EQ(read->description.classifier, plan.description.classifier);
  EXPECT_EQ(read->inputs, plan.inputs);
  EXPECT_EQ(read->outputs, plan.outputs);
  EXPECT_EQ(read->states, plan.states);
  EXPECT_EQ(read->operations, plan.operations);
}

TEST(FunctionPlan, RefusesOtherTexts) {
  for (
      const char* const text :
      {"", "null", "[]", "{}", "{\"name\": 3}", R"({"name": "f", "inputs": {}})",
       R"({"name": "f", "inputs": [], "outputs": [], "states": []})",
       R"({"name": "f", "inputs": [3], "outputs": [], "states": [], "operations": {}})",
       R"({"name": "f", "inputs": [{"name": "x", "dtype": 9, "shape": [[1]], "enumerated_shapes": [],
            "index": 0, "is_scalar": false}], "outputs": [], "states": [], "operations": {}})",
       R"({"name": "f", "inputs": [{"name": "x", "dtype": 99, "shape": [], "enumerated_shapes": [],
            "index": 0, "is_scalar": false}], "outputs": [], "states": [], "operations": {}})",
       R"({"name": "f", "inputs": [{"name": "x", "dtype": 9, "shape": [], "enumerated_shapes": [],
            "index": -1, "is_scalar": false}], "outputs": [], "states": [], "operations": {}})",
       R"({"name": "f", "inputs": [], "outputs": [], "states": [], "operations": {"a": ["b"]}})"}) {
    const Result<FunctionPlan> plan = function_plan_from_json(text);
    ASSERT_FALSE(plan.ok()) << text;
    EXPECT_EQ(plan.status().code(), StatusCode::kCorruptData) << text;
  }
}

// Every text with one character changed is read as something or refused; nothing is thrown.
TEST(FunctionPlan, BearsDamage) {
  const std::string text = to_json(example());
  size_t refused = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'\0', '"', '{', '9', '\xff'}) {
      std::string damaged = text;
      damaged[i] = c;
      refused += function_plan_from_json(damaged).ok() ? 0 : 1;
    }
    EXPECT_FALSE(function_plan_from_json(text.substr(0, i)).ok()) << i;
  }
  EXPECT_GT(refused, text.size());
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
