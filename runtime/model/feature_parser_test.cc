// The description of a function, read through a Package.

#include "runtime/model/feature_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "runtime/model/package.h"
#include "runtime/model/testing_model.h"

namespace coreml_delegate::model {
namespace {

using ::testing::HasSubstr;

Result<Function> read_signature(const proto::Model& model) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Package package,
                                   Package::open(testing::package_of(model)));
  return package.function_signature("");
}
void expect_failure(const proto::Model& model, StatusCode code, const std::string& text) {
  const Result<Function> function = read_signature(model);
  ASSERT_FALSE(function.ok());
  EXPECT_EQ(function.status().code(), code) << function.status().to_string();
  EXPECT_THAT(function.status().to_string(), HasSubstr(text));
}

// x: float32[1..8, 3] in the description, [?, 3] in the program; y as the program has it.
proto::Model range_model() {
  proto::Model model = testing::small_model();
  const proto::ValueType type = testing::tensor_type(proto::FLOAT32, {-1, 3});
  *testing::function_of(&model).mutable_inputs(0)->mutable_type() = type;
  *testing::block_of(&model).mutable_operations(0)->mutable_outputs(0)->mutable_type() = type;
  proto::ArrayFeatureType* const input =
      model.mutable_description()->mutable_input(0)->mutable_type()->mutable_multiarraytype();
  proto::SizeRange* range = input->mutable_shaperange()->add_sizeranges();
  range->set_lowerbound(1);
  range->set_upperbound(8);
  range = input->mutable_shaperange()->add_sizeranges();
  range->set_lowerbound(3);
  range->set_upperbound(3);
  model.mutable_description()
      ->mutable_output(0)
      ->mutable_type()
      ->mutable_multiarraytype()
      ->clear_shape();
  return model;
}

TEST(Features, RangesOfInputsAndOpenOutputs) {
  const Result<Function> function = read_signature(range_model());
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  EXPECT_EQ(function->input_features[0].tensor.to_string(), "x: float32[1..8, 3]");
  EXPECT_EQ(function->output_features[0].tensor.to_string(), "y: float32[0.., 3]");
}

TEST(Features, UnboundedRange) {
  proto::Model model = range_model();
  model.mutable_description()
      ->mutable_input(0)
      ->mutable_type()
      ->mutable_multiarraytype()
      ->mutable_shaperange()
      ->mutable_sizeranges(0)
      ->set_upperbound(-1);
  const Result<Function> function = read_signature(model);
  ASSERT_TRUE(function.ok());
  EXPECT_EQ(function->input_features[0].tensor.shape[0].max, Dimension::kUnbounded);
}

TEST(Features, RefusesRangesThatHoldNothing) {
  proto::Model model = range_model();
  proto::SizeRange* const range = model.mutable_description()
                                      ->mutable_input(0)
                                      ->mutable_type()
                                      ->mutable_multiarraytype()
                                      ->mutable_shaperange()
                                      ->mutable_sizeranges(0);
  range->set_lowerbound(9);
  expect_failure(model, StatusCode::kCorruptData, "from 9 to 8");
  range->set_lowerbound(~uint64_t{0});
  expect_failure(model, StatusCode::kCorruptData, "to 8");
}

TEST(Features, EnumeratedShapes) {
  proto::Model model = range_model();
  proto::ArrayFeatureType* const input =
      model.mutable_description()->mutable_input(0)->mutable_type()->mutable_multiarraytype();
  for (const int64_t extent : {4, 2}) {
    proto::ArrayFeatureType::Shape* const shape = input->mutable_enumeratedshapes()->add_shapes();
    shape->add_shape(extent);
    shape->add_shape(3);
  }
  const Result<Function> function = read_signature(model);
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  const TensorSpec& spec = function->input_features[0].tensor;
  EXPECT_EQ(spec.to_string(), "x: float32{[4, 3], [2, 3]}");
  EXPECT_EQ(spec.shape[0], (Dimension{2, 4}));
  const int64_t between[] = {3, 3};
  EXPECT_FALSE(spec.accepts(between, 2));

  input->mutable_enumeratedshapes()->mutable_shapes(1)->add_shape(1);
  expect_failure(model, StatusCode::kCorruptData, "different ranks");
  input->mutable_enumeratedshapes()->clear_shapes();
  expect_failure(model, StatusCode::kCorruptData, "enumeration of shapes is empty");
}

TEST(Features, ShapesMustFitTheProgram) {
  proto::Model model = testing::small_model();
  proto::ArrayFeatureType* const input =
      model.mutable_description()->mutable_input(0)->mutable_type()->mutable_multiarraytype();
  input->set_shape(0, 5);
  expect_failure(model, StatusCode::kCorruptData, "x: float32[5, 3]");
  input->set_shape(0, -2);
  expect_failure(model, StatusCode::kCorruptData, "extent -2");
  input->clear_shape();
  expect_failure(model, StatusCode::kCorruptData, "the program says tensor<fp32, [2, 3]>");
}

TEST(Features, AScalarIsDescribedAsOneElement) {
  proto::Model model = testing::small_model();
  *testing::function_of(&model).mutable_inputs(0)->mutable_type() =
      testing::tensor_type(proto::FLOAT32, {});
  proto::ArrayFeatureType* const input =
      model.mutable_description()->mutable_input(0)->mutable_type()->mutable_multiarraytype();
  input->clear_shape();
  input->add_shape(1);
  const Result<Function> function = read_signature(model);
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  EXPECT_EQ(function->input_features[0].tensor.to_string(), "x: float32[1]");
}

TEST(Features, DeclaredTypes) {
  proto::Model model = testing::small_model();
  proto::ArrayFeatureType* const input =
      model.mutable_description()->mutable_input(0)->mutable_type()->mutable_multiarraytype();
  for (const auto& [declared, expected] :
       {std::pair{proto::ArrayFeatureType::FLOAT16, DataType::kFloat16},
        std::pair{proto::ArrayFeatureType::DOUBLE, DataType::kFloat64},
        std::pair{proto::ArrayFeatureType::INVALID_ARRAY_DATA_TYPE, DataType::kFloat32}}) {
    input->set_datatype(declared);
    const Result<Function> function = read_signature(model);
    ASSERT_TRUE(function.ok()) << function.status().to_string();
    EXPECT_EQ(function->input_features[0].tensor.dtype, expected);
  }
  input->set_datatype(proto::ArrayFeatureType::INT32);
  expect_failure(model, StatusCode::kUnsupported, "cannot stand for");
}

// y = relu(x) of float32[1, `channels`, ?, ?], x described as an image 4 high and 6 wide.
proto::Model image_model(proto::ImageFeatureType::ColorSpace color_space, int64_t channels) {
  proto::Model model = testing::small_model();
  const proto::ValueType type = testing::tensor_type(proto::FLOAT32, {1, channels, -1, -1});
  *testing::function_of(&model).mutable_inputs(0)->mutable_type() = type;
  *testing::block_of(&model).mutable_operations(0)->mutable_outputs(0)->mutable_type() = type;
  proto::ImageFeatureType* const image =
      model.mutable_description()->mutable_input(0)->mutable_type()->mutable_imagetype();
  image->set_colorspace(color_space);
  image->set_height(4);
  image->set_width(6);
  model.mutable_description()
      ->mutable_output(0)
      ->mutable_type()
      ->mutable_multiarraytype()
      ->clear_shape();
  return model;
}
proto::ImageFeatureType* image_of(proto::Model* model) {
  return model->mutable_description()->mutable_input(0)->mutable_type()->mutable_imagetype();
}

TEST(Features, AnImageIsATensor) {
  for (const auto& [color_space, layout, text] :
       {std::tuple{proto::ImageFeatureType::RGB, ColorLayout::kRgb, "x: float32[1, 3, 4, 6]"},
        std::tuple{proto::ImageFeatureType::BGR, ColorLayout::kBgr, "x: float32[1, 3, 4, 6]"},
        std::tuple{proto::ImageFeatureType::GRAYSCALE, ColorLayout::kGrayscale,
                   "x: float32[1, 1, 4, 6]"},
        std::tuple{proto::ImageFeatureType::GRAYSCALE_FLOAT16, ColorLayout::kGrayscaleFloat16,
                   "x: float32[1, 1, 4, 6]"}}) {
    const bool has_colors = layout == ColorLayout::kRgb || layout == ColorLayout::kBgr;
    const Result<Function> function = read_signature(image_model(color_space, has_colors ? 3 : 1));
    ASSERT_TRUE(function.ok()) << function.status().to_string();
    EXPECT_EQ(function->input_features[0].tensor.to_string(), text);
    EXPECT_EQ(function->input_features[0].image, layout);
    EXPECT_FALSE(function->output_features[0].image.has_value());
  }
}

TEST(Features, SizesOfImages) {
  proto::Model model = image_model(proto::ImageFeatureType::RGB, 3);
  proto::ImageFeatureType::ImageSizeRange* const range = image_of(&model)->mutable_imagesizerange();
  range->mutable_heightrange()->set_lowerbound(4);
  range->mutable_heightrange()->set_upperbound(8);
  range->mutable_widthrange()->set_lowerbound(2);
  range->mutable_widthrange()->set_upperbound(-1);
  Result<Function> function = read_signature(model);
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  EXPECT_EQ(function->input_features[0].tensor.to_string(), "x: float32[1, 3, 4..8, 2..]");

  image_of(&model)->mutable_enumeratedsizes();
  expect_failure(model, StatusCode::kCorruptData, "enumeration of shapes is empty");
  for (const uint64_t side : {4, 8}) {
    auto* const size = image_of(&model)->mutable_enumeratedsizes()->add_sizes();
    size->set_height(side);
    size->set_width(2 * side);
  }
  function = read_signature(model);
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  EXPECT_EQ(function->input_features[0].tensor.to_string(),
            "x: float32{[1, 3, 4, 8], [1, 3, 8, 16]}");
  image_of(&model)->mutable_enumeratedsizes()->mutable_sizes(0)->set_width(~uint64_t{0});
  expect_failure(model, StatusCode::kCorruptData, "extent -1");
}

TEST(Features, RefusesImagesThatDoNotFitTheProgram) {
  expect_failure(image_model(proto::ImageFeatureType::RGB, 1), StatusCode::kCorruptData,
                 "the description says x: float32[1, 3, 4, 6]");
  expect_failure(image_model(proto::ImageFeatureType::INVALID_COLOR_SPACE, 3),
                 StatusCode::kCorruptData, "color space 0");
  proto::Model model = image_model(proto::ImageFeatureType::RGB, 3);
  image_of(&model)->set_height(-4);
  expect_failure(model, StatusCode::kCorruptData, "extent -4");
  model = testing::small_model();
  image_of(&model)->set_colorspace(proto::ImageFeatureType::RGB);
  expect_failure(model, StatusCode::kUnsupported, "an image is described where the program has");
}

TEST(Features, RefusesWhatIsNoTensor) {
  proto::Model model = testing::small_model();
  model.mutable_description()->mutable_input(0)->mutable_type()->mutable_stringtype();
  expect_failure(model, StatusCode::kUnsupported, "the input is a string");
  model = testing::small_model();
  model.mutable_description()->mutable_output(0)->mutable_type()->mutable_dictionarytype();
  expect_failure(model, StatusCode::kUnsupported, "the output is a dictionary");
  model.mutable_description()->mutable_output(0)->clear_type();
  expect_failure(model, StatusCode::kUnsupported, "of no type");
}

TEST(Features, OptionalInputWithDefault) {
  proto::Model model = testing::small_model();
  proto::FeatureType* const type = model.mutable_description()->mutable_input(0)->mutable_type();
  type->set_isoptional(true);
  type->mutable_multiarraytype()->set_floatdefaultvalue(0.5f);
  const Result<Function> function = read_signature(model);
  ASSERT_TRUE(function.ok());
  EXPECT_TRUE(function->input_features[0].optional);
  EXPECT_EQ(function->input_features[0].default_value, 0.5);
}

TEST(Features, NamesMustMatchTheProgram) {
  proto::Model model = testing::small_model();
  model.mutable_description()->mutable_input(0)->set_name("ghost");
  expect_failure(model, StatusCode::kCorruptData, "ghost");
  model = testing::small_model();
  model.mutable_description()->mutable_output(0)->set_name("ghost");
  expect_failure(model, StatusCode::kCorruptData, "ghost");
  model = testing::small_model();
  model.mutable_description()->clear_input();
  expect_failure(model, StatusCode::kCorruptData,
                 "has 1 inputs and states, but the description has 0");
}

// Lowering that merges outputs (`return h, h.clone()`) gives both the same name; later ones would
// shift silently.
TEST(Features, RefusesDuplicateOutputNames) {
  proto::Model model = testing::small_model();
  *model.mutable_description()->add_output() = model.description().output(0);
  expect_failure(model, StatusCode::kCorruptData, "described twice");
}

TEST(Features, States) {
  proto::Model model = testing::small_model();
  model.set_specificationversion(9);
  proto::ValueType type;
  *type.mutable_statetype()->mutable_wrappedtype() = testing::tensor_type(proto::FLOAT16, {4});
  testing::add_named(testing::function_of(&model).mutable_inputs(), "cache", type);
  expect_failure(model, StatusCode::kCorruptData, "has 2 inputs and states");

  proto::FeatureDescription* const state = model.mutable_description()->add_state();
  state->set_name("cache");
  proto::ArrayFeatureType* const array =
      state->mutable_type()->mutable_statetype()->mutable_arraytype();
  array->set_datatype(proto::ArrayFeatureType::FLOAT16);
  array->add_shape(4);
  const Result<Function> function = read_signature(model);
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  ASSERT_EQ(function->state_features.size(), 1u);
  EXPECT_EQ(function->state_features[0].tensor.to_string(), "cache: float16[4]");
  EXPECT_EQ(function->inputs[1].type.to_string(), "state<tensor<fp16, [4]>>");

  state->mutable_type()->mutable_multiarraytype();
  expect_failure(model, StatusCode::kCorruptData,
                 "the description has a state that is not a state");
}

}  // namespace
}  // namespace coreml_delegate::model
