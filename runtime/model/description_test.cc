#include "runtime/model/description.h"

#include <gtest/gtest.h>

namespace coreml_delegate::model {
namespace {

Feature feature(const char* name) {
  Feature feature;
  feature.tensor = {name, DataType::kFloat32, {{2, 2}}, {}};
  return feature;
}

TEST(DescriptionTest, TensorsImagesDefaultsAndClasses) {
  Function function;
  function.name = "main";
  Feature image = feature("image");
  image.image = ColorLayout::kBgr;
  Feature optional = feature("optional");
  optional.optional = true;
  optional.default_value = 0.5;
  Feature undecided = feature("undecided");
  undecided.default_value = 2.0;  // Of an input that is not optional it means nothing.
  function.input_features = {image, optional, undecided};
  Feature drawn = feature("drawn");
  drawn.image = ColorLayout::kGrayscale;
  function.output_features = {drawn};
  function.state_features = {feature("state")};
  function.classifier = Classifier{"label", "drawn", {}, {7, 8}};

  const FunctionDescription description = describe(function);
  EXPECT_EQ(description.name, "main");
  ASSERT_EQ(description.inputs.size(), 3u);
  EXPECT_EQ(description.inputs[1], optional.tensor);
  EXPECT_EQ(description.outputs[0].name, "drawn");
  EXPECT_EQ(description.states[0].name, "state");
  EXPECT_EQ(description.images.at("image"), ColorLayout::kBgr);
  EXPECT_EQ(description.images.at("drawn"), ColorLayout::kGrayscale);
  EXPECT_EQ(description.images.size(), 2u);
  EXPECT_EQ(description.default_values.at("optional"), 0.5);
  EXPECT_EQ(description.default_values.size(), 1u);
  EXPECT_EQ(description.classifier->numbers.size(), 2u);
}

}  // namespace
}  // namespace coreml_delegate::model
