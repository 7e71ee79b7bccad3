#include "runtime/engine/description_json.h"

#include <gtest/gtest.h>

#include <limits>

namespace coreml_delegate::engine {
namespace {

FunctionDescription example() {
  FunctionDescription description;
  description.name = "main";
  description.inputs.push_back(
      {"x", DataType::kFloat16, {{1, Dimension::kUnbounded}, {3, 3}}, {{1, 3}, {8, 3}}});
  description.outputs.push_back({"p", DataType::kFloat32, {{2, 2}}, {}});
  description.states.push_back({"s", DataType::kInt32, {}, {}});
  description.images.emplace("x", ColorLayout::kGrayscaleFloat16);
  description.default_values.emplace("x", -std::numeric_limits<double>::infinity());
  description.classifier = Classifier{"label", "p", {"cat", "dog"}, {}};
  return description;
}

TEST(DescriptionJsonTest, ComesBackWhole) {
  const FunctionDescription expected = example();
  JsonReader reader;
  const FunctionDescription found =
      reader.description(nlohmann::json::parse(to_json(expected).dump()));
  EXPECT_TRUE(reader.ok()) << reader.problem();
  EXPECT_EQ(found.name, expected.name);
  EXPECT_EQ(found.inputs, expected.inputs);
  EXPECT_EQ(found.outputs, expected.outputs);
  EXPECT_EQ(found.states, expected.states);
  EXPECT_EQ(found.images, expected.images);
  EXPECT_EQ(found.default_values, expected.default_values);
  EXPECT_EQ(found.classifier, expected.classifier);
}

TEST(DescriptionJsonTest, EveryMemberIsNeeded) {
  const nlohmann::json whole = to_json(example());
  for (const auto& [name, value] : whole.items()) {
    nlohmann::json without = whole;
    without.erase(name);
    JsonReader reader;
    (void)reader.description(without);
    EXPECT_EQ(reader.problem(), name);
  }
  for (const nlohmann::json& other : {nlohmann::json(), nlohmann::json(1), nlohmann::json("x"),
                                      nlohmann::json::array({1}), nlohmann::json::object()}) {
    JsonReader reader;
    (void)reader.description(other);
    EXPECT_FALSE(reader.ok()) << other;
  }
}

TEST(DescriptionJsonTest, BadValuesAreNamed) {
  const auto problem = [](const char* pointer, const nlohmann::json& value) {
    nlohmann::json json = to_json(example());
    json[nlohmann::json::json_pointer(pointer)] = value;
    JsonReader reader;
    (void)reader.description(json);
    return reader.problem();
  };
  EXPECT_EQ(problem("/inputs/0/dtype", 11), "dtype");
  EXPECT_EQ(problem("/inputs/0/dtype", 0), "dtype");
  EXPECT_EQ(problem("/inputs/0/shape/0", 5), "shape");
  EXPECT_EQ(problem("/inputs/0/enumerated_shapes/0", nlohmann::json::array({1})),
            "enumerated_shapes");
  EXPECT_EQ(problem("/images/x", 11), "images");
  EXPECT_EQ(problem("/default_values/x", 0.5), "default_values");
  EXPECT_EQ(problem("/classifier/names/0", 1), "names");
  EXPECT_EQ(problem("/states", "s"), "states");
}

}  // namespace
}  // namespace coreml_delegate::engine
