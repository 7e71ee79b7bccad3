// Programs with a `classify`, read through a Package.

#include "runtime/model/classifier_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/model/package.h"
#include "runtime/model/testing_model.h"

namespace coreml_delegate::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kLabel[] = "classLabel";
constexpr char kProbabilities[] = "classLabel_probs";

proto::Operation& classify_of(proto::Model* model) {
  return *testing::block_of(model).mutable_operations(1);
}

// x -> relu -> y -> classify, of float32[1, 3]; `names` and `numbers` are the classes.
proto::Model classifier(const std::vector<std::string>& names,
                        const std::vector<int64_t>& numbers = {}) {
  proto::Model model = testing::small_model();
  const proto::ValueType type = testing::tensor_type(proto::FLOAT32, {1, 3});
  *testing::function_of(&model).mutable_inputs(0)->mutable_type() = type;
  proto::Block& block = testing::block_of(&model);
  *block.mutable_operations(0)->mutable_outputs(0)->mutable_type() = type;
  auto* const array =
      model.mutable_description()->mutable_input(0)->mutable_type()->mutable_multiarraytype();
  array->set_shape(0, 1);

  const proto::DataType element = names.empty() ? proto::INT64 : proto::STRING;
  const proto::ValueType class_type = testing::tensor_type(element, {});
  proto::ValueType dictionary;
  *dictionary.mutable_dictionarytype()->mutable_keytype() = class_type;
  *dictionary.mutable_dictionarytype()->mutable_valuetype() =
      testing::tensor_type(proto::FLOAT64, {});
  proto::Operation* const classify =
      testing::add_operation(&block, "classify", "", kLabel, class_type);
  testing::add_named(classify->mutable_outputs(), kProbabilities, dictionary);
  (*classify->mutable_inputs())["probabilities"].add_arguments()->set_name("y");
  proto::Value* const classes =
      (*classify->mutable_inputs())["classes"].add_arguments()->mutable_value();
  proto::ListType* const list = classes->mutable_type()->mutable_listtype();
  *list->mutable_type() = class_type;
  list->mutable_length()->mutable_constant()->set_size(names.size() + numbers.size());
  const auto add = [&]() {
    proto::Value* const value = classes->mutable_immediatevalue()->mutable_list()->add_values();
    *value->mutable_type() = class_type;
    return value->mutable_immediatevalue()->mutable_tensor();
  };
  for (const std::string& name : names) add()->mutable_strings()->add_values(name);
  for (const int64_t number : numbers) add()->mutable_longints()->add_values(number);

  block.clear_outputs();
  block.add_outputs(kLabel);
  block.add_outputs(kProbabilities);
  model.mutable_description()->clear_output();
  proto::FeatureDescription* feature = model.mutable_description()->add_output();
  feature->set_name(kLabel);
  proto::FeatureDescription* const probabilities = model.mutable_description()->add_output();
  probabilities->set_name(kProbabilities);
  auto* const keys = probabilities->mutable_type()->mutable_dictionarytype();
  feature = model.mutable_description()->mutable_output(0);
  if (names.empty()) {
    feature->mutable_type()->mutable_int64type();
    keys->mutable_int64keytype();
  } else {
    feature->mutable_type()->mutable_stringtype();
    keys->mutable_stringkeytype();
  }
  return model;
}

Result<Function> read(const proto::Model& model, bool with_body = true) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Package package,
                                   Package::open(testing::package_of(model)));
  return with_body ? package.function("") : package.function_signature("");
}
void expect_failure(const proto::Model& model, StatusCode code, const std::string& text) {
  const Result<Function> function = read(model);
  ASSERT_FALSE(function.ok());
  EXPECT_EQ(function.status().code(), code) << function.status().to_string();
  EXPECT_THAT(function.status().to_string(), HasSubstr(text));
}

TEST(Classifier, TheProbabilitiesTakeItsPlace) {
  for (const bool with_body : {true, false}) {
    const Result<Function> function = read(classifier({"cat", "dog", "eel"}), with_body);
    ASSERT_TRUE(function.ok()) << function.status().to_string();
    ASSERT_TRUE(function->classifier.has_value());
    EXPECT_EQ(*function->classifier,
              (Classifier{kLabel, kProbabilities, {"cat", "dog", "eel"}, {}}));
    EXPECT_THAT(function->body.outputs, ElementsAre(kProbabilities));
    ASSERT_EQ(function->output_features.size(), 1u);
    EXPECT_EQ(function->output_features[0].tensor.to_string(), "classLabel_probs: float32[1, 3]");
    if (!with_body) continue;
    const Operation& operation = function->body.operations.back();
    EXPECT_EQ(operation.type, "identity");
    EXPECT_EQ(operation.inputs.at("x")[0].name, "y");
    EXPECT_EQ(operation.outputs[0].name, kProbabilities);
  }
}

TEST(Classifier, ClassesMayBeNumbers) {
  const Result<Function> function = read(classifier({}, {30, -10, 20}));
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  EXPECT_THAT(function->classifier->numbers, ElementsAre(30, -10, 20));
}

TEST(Classifier, ClassesMayBeAConstantOfTheBlock) {
  proto::Model model = classifier({"cat", "dog", "eel"});
  auto& argument = (*classify_of(&model).mutable_inputs())["classes"];
  const proto::Value value = argument.arguments(0).value();
  argument.mutable_arguments(0)->set_name("classes");
  expect_failure(model, StatusCode::kCorruptData, "classes");
  proto::Block& block = testing::block_of(&model);
  proto::Operation* const constant =
      testing::add_operation(&block, "const", "", "classes", value.type());
  (*constant->mutable_attributes())["val"] = value;
  block.mutable_operations()->SwapElements(0, 2);
  block.mutable_operations()->SwapElements(1, 2);
  const Result<Function> function = read(model);
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  EXPECT_EQ(function->classifier->names.size(), 3u);
}

TEST(Classifier, RefusesTheWrongNumberOfClasses) {
  expect_failure(classifier({"cat", "dog"}), StatusCode::kCorruptData,
                 "there are 2 classes for tensor<fp32, [1, 3]>");
}

TEST(Classifier, RefusesAnotherDescription) {
  proto::Model model = classifier({"cat", "dog", "eel"});
  model.mutable_description()->mutable_output(0)->mutable_type()->mutable_int64type();
  expect_failure(model, StatusCode::kCorruptData, kLabel);
  model = classifier({"cat", "dog", "eel"});
  auto* const type = model.mutable_description()->mutable_output(1)->mutable_type();
  type->mutable_dictionarytype()->mutable_int64keytype();
  expect_failure(model, StatusCode::kCorruptData, "dictionary of probabilities another type");
  type->mutable_multiarraytype();
  expect_failure(model, StatusCode::kCorruptData, "dictionary of probabilities another type");
}

TEST(Classifier, RefusesUsesOfItsResults) {
  proto::Model model = classifier({"cat", "dog", "eel"});
  testing::add_operation(&testing::block_of(&model), "identity", kLabel, "w",
                         testing::tensor_type(proto::STRING, {}));
  expect_failure(model, StatusCode::kCorruptData, "used by another operation");
}

TEST(Classifier, RefusesWhatIsIncomplete) {
  proto::Model model = classifier({"cat", "dog", "eel"});
  classify_of(&model).mutable_inputs()->erase("classes");
  expect_failure(model, StatusCode::kCorruptData, "classify must have exactly one argument");
  model = classifier({"cat", "dog", "eel"});
  classify_of(&model).mutable_outputs()->RemoveLast();
  testing::block_of(&model).mutable_outputs()->RemoveLast();
  expect_failure(model, StatusCode::kCorruptData, "two outputs");
  model = classifier({"cat", "dog", "eel"});
  proto::Block& block = testing::block_of(&model);
  proto::Operation* const second = block.add_operations();
  *second = block.operations(1);
  second->mutable_outputs(0)->set_name("other");
  second->mutable_outputs(1)->set_name("others");
  expect_failure(model, StatusCode::kCorruptData, "more than one classify");
  model = classifier({"cat", "dog", "eel"});
  (*classify_of(&model).mutable_inputs())["probabilities"].mutable_arguments(0)->set_name(kLabel);
  expect_failure(model, StatusCode::kCorruptData, kLabel);
}

}  // namespace
}  // namespace coreml_delegate::model
