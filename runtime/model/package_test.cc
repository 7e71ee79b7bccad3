#include "runtime/model/package.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/model/testing_model.h"

namespace coreml_delegate::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<Package> open(const inmemoryfs::InMemoryFileSystem& files) { return Package::open(files); }
Result<Package> open(const proto::Model& model) {
  return Package::open(testing::package_of(model));
}
Result<Function> read_function(const proto::Model& model, const std::string& name = "") {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Package package, open(model));
  return package.function(name);
}

// The whole failure, so that a test can look for what it names.
template <typename T>
void expect_failure(const Result<T>& result, StatusCode code, const std::string& text) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().to_string();
  EXPECT_THAT(result.status().to_string(), HasSubstr(text));
}

TEST(Package, ReadsTheModel) {
  proto::Model model = testing::small_model();
  (*model.mutable_description()->mutable_metadata()->mutable_userdefined())["key"] = "value";
  const Result<Package> package = open(model);
  ASSERT_TRUE(package.ok()) << package.status().to_string();
  EXPECT_EQ(package->specification_version(), 7);
  EXPECT_THAT(package->function_names(), ElementsAre("main"));
  EXPECT_EQ(package->default_function(), "main");
  EXPECT_EQ(package->user_metadata().at("key"), "value");

  const Result<Function> function = package->function("");
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  EXPECT_EQ(function->name, "main");
  EXPECT_EQ(function->opset, "CoreML6");
  ASSERT_EQ(function->body.operations.size(), 1u);
  EXPECT_EQ(function->body.operations[0].type, "relu");
  EXPECT_EQ(function->body.operations[0].label(), "y");
  EXPECT_EQ(function->body.operations[0].inputs.at("x")[0].name, "x");
  EXPECT_THAT(function->body.outputs, ElementsAre("y"));
  EXPECT_EQ(function->stored_bytes, model.SerializeAsString().size());
  EXPECT_EQ(function->input_features[0].tensor.to_string(), "x: float32[2, 3]");
  EXPECT_EQ(function->output_features[0].tensor.to_string(), "y: float32[2, 3]");

  const Result<Function> signature = package->function_signature("main");
  ASSERT_TRUE(signature.ok());
  EXPECT_TRUE(signature->body.operations.empty());
  EXPECT_EQ(signature->output_features[0].tensor, function->output_features[0].tensor);
}

TEST(Package, OutlivesTheTreeItWasOpenedFrom) {
  Result<Package> package = internal_error("not opened");
  {
    const inmemoryfs::InMemoryFileSystem files = testing::package_of(testing::small_model());
    package = Package::open(files);
  }
  ASSERT_TRUE(package.ok());
  EXPECT_TRUE(package->function("main").ok());
}

TEST(Package, UnknownFunctionNamesThoseThereAre) {
  expect_failure(read_function(testing::small_model(), "other"), StatusCode::kNotFound,
                 "it has: main");
}

// --- Manifest.json ---

TEST(PackageManifest, IsNamedManifestWithACapital) {
  // The stock debugger opens `manifest.json`, which is not there on a case-sensitive file system.
  inmemoryfs::InMemoryFileSystem files = testing::package_of(testing::small_model());
  ASSERT_TRUE(files.rename("Manifest.json", "manifest.json").ok());
  expect_failure(open(files), StatusCode::kCorruptData, "Manifest.json");
}

TEST(PackageManifest, RefusesWhatIsNoManifest) {
  const std::string model = testing::small_model().SerializeAsString();
  const auto with = [&](const std::string& manifest) {
    return open(testing::package_of(model, "", manifest));
  };
  const StatusCode corrupt = StatusCode::kCorruptData;
  expect_failure(with(""), corrupt, "not a JSON object");
  expect_failure(with("[]"), corrupt, "not a JSON object");
  expect_failure(with("{\"fileFormatVersion\": \"1.0.0\""), corrupt, "not a JSON object");
  expect_failure(with("{\"a\": \"\\"), corrupt, "not a JSON object");
  expect_failure(with("{}"), corrupt, "fileFormatVersion");
  expect_failure(with(R"({"fileFormatVersion": 1})"), corrupt, "fileFormatVersion");
  expect_failure(with(R"({"fileFormatVersion": "2.0.0"})"), StatusCode::kVersionTooNew, "2.0.0");
  expect_failure(with(R"({"fileFormatVersion": "1.0.0"})"), corrupt, "rootModelIdentifier");
  expect_failure(with(R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "A",
                          "itemInfoEntries": {"B": {}}})"),
                 corrupt, "not one of its itemInfoEntries");
  expect_failure(with(R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "A",
                          "itemInfoEntries": {"A": {"path": 3}}})"),
                 corrupt, "no path");
  expect_failure(with(R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "A",
                          "itemInfoEntries": {"A": {"path": "../../etc/passwd"}}})"),
                 corrupt, "not allowed");
  expect_failure(with(R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "A",
                          "itemInfoEntries": {"A": {"path": "nowhere.mlmodel"}}})"),
                 corrupt, "nowhere.mlmodel");
  // Nested a million deep: neither a crash nor a long wait.
  expect_failure(with(std::string(1'000'000, '[')), corrupt, "not a JSON object");
  expect_failure(with(std::string(2'000'000, ' ')), corrupt, "the limit is");
}

// --- model.mlmodel ---

TEST(PackageSpecification, RefusesBytesThatAreNoMessage) {
  expect_failure(open(testing::package_of(std::string("\xff\xff\xff"))), StatusCode::kCorruptData,
                 "not a valid protobuf");
}

TEST(PackageSpecification, RefusesEveryTruncation) {
  const std::string whole = testing::small_model().SerializeAsString();
  for (size_t size = 0; size < whole.size(); ++size) {
    const Result<Package> package = open(testing::package_of(whole.substr(0, size)));
    // A cut between two fields is a valid message; it then lacks what the next checks ask for.
    if (package.ok()) {
      EXPECT_FALSE(package->function("").ok()) << size;
    }
  }
}

TEST(PackageSpecification, RefusesOneAboveTheLimit) {
  Limits limits;
  limits.max_specification_bytes = 10;
  expect_failure(Package::open(testing::package_of(testing::small_model()), limits),
                 StatusCode::kResourceExhausted, "the limit is 10");
}

TEST(PackageSpecification, ChecksTheVersion) {
  proto::Model model = testing::small_model();
  for (const int version : {6, 7, 8, 9, 10}) {
    model.set_specificationversion(version);
    EXPECT_TRUE(open(model).ok()) << version;
  }
  model.set_specificationversion(11);
  expect_failure(open(model), StatusCode::kVersionTooNew, "11");
  model.set_specificationversion(5);
  expect_failure(open(model), StatusCode::kCorruptData, "begin with 6");
}

TEST(PackageSpecification, RefusesOtherKindsOfModels) {
  proto::Model model;
  model.set_specificationversion(5);
  model.mutable_neuralnetwork();
  expect_failure(open(model), StatusCode::kUnsupported, "a neural network");
  model.mutable_pipeline();
  expect_failure(open(model), StatusCode::kUnsupported, "a pipeline");
  model.clear_Type();
  expect_failure(open(model), StatusCode::kUnsupported, "another kind");
}

// --- Functions ---

proto::Model two_functions() {
  proto::Model model = testing::small_model();
  model.set_specificationversion(9);
  proto::ModelDescription* const description = model.mutable_description();
  const proto::Function function = testing::function_of(&model);
  (*model.mutable_mlprogram()->mutable_functions())["decode"] = function;
  for (const char* const name : {"main", "decode"}) {
    proto::FunctionDescription* const described = description->add_functions();
    described->set_name(name);
    *described->mutable_input() = description->input();
    *described->mutable_output() = description->output();
  }
  description->clear_input();
  description->clear_output();
  description->set_defaultfunctionname("decode");
  return model;
}

TEST(PackageFunctions, SeveralInTheOrderOfTheirDescriptions) {
  const Result<Package> package = open(two_functions());
  ASSERT_TRUE(package.ok()) << package.status().to_string();
  EXPECT_THAT(package->function_names(), ElementsAre("main", "decode"));
  EXPECT_EQ(package->default_function(), "decode");
  EXPECT_EQ(package->function("")->name, "decode");
  EXPECT_EQ(package->function("main")->name, "main");
}

TEST(PackageFunctions, DescriptionsMustMatchTheProgram) {
  proto::Model model = two_functions();
  model.mutable_description()->set_defaultfunctionname("nowhere");
  expect_failure(open(model), StatusCode::kCorruptData, "nowhere");

  model = two_functions();
  model.mutable_description()->clear_defaultfunctionname();
  expect_failure(open(model), StatusCode::kCorruptData, "none of them is the default");

  model = two_functions();
  model.mutable_description()->mutable_functions(0)->set_name("ghost");
  expect_failure(open(model), StatusCode::kCorruptData, "ghost");

  model = two_functions();
  model.mutable_description()->mutable_functions(0)->set_name("decode");
  expect_failure(open(model), StatusCode::kCorruptData, "described twice");

  model = two_functions();
  model.mutable_description()->clear_functions();
  expect_failure(open(model), StatusCode::kCorruptData, "none is described");

  model = testing::small_model();
  model.mutable_mlprogram()->clear_functions();
  expect_failure(open(model), StatusCode::kCorruptData, "no function");
}

TEST(PackageFunctions, NeedsTheBlockOfItsOpset) {
  proto::Model model = testing::small_model();
  testing::function_of(&model).set_opset("CoreML9");
  expect_failure(read_function(model), StatusCode::kCorruptData, "CoreML9");
}

// --- Names and blocks ---

TEST(PackageProgram, RefusesUseBeforeDefinition) {
  proto::Model model = testing::small_model();
  proto::Block& block = testing::block_of(&model);
  const proto::ValueType type = testing::tensor_type(proto::FLOAT32, {2, 3});
  (*block.mutable_operations(0)->mutable_inputs())["x"].mutable_arguments(0)->set_name("z");
  testing::add_operation(&block, "relu", "x", "z", type);
  const Result<Function> function = read_function(model);
  expect_failure(function, StatusCode::kCorruptData, "used before it is defined");
  EXPECT_THAT(function.status().to_string(), HasSubstr("relu -> y"));
}

TEST(PackageProgram, RefusesAnOperationThatUsesItsOwnResult) {
  proto::Model model = testing::small_model();
  proto::Block& block = testing::block_of(&model);
  (*block.mutable_operations(0)->mutable_inputs())["x"].mutable_arguments(0)->set_name("y");
  expect_failure(read_function(model), StatusCode::kCorruptData, "used before it is defined");
}

TEST(PackageProgram, RefusesDuplicateNames) {
  proto::Model model = testing::small_model();
  const proto::ValueType type = testing::tensor_type(proto::FLOAT32, {2, 3});
  testing::add_operation(&testing::block_of(&model), "relu", "x", "y", type);
  expect_failure(read_function(model), StatusCode::kCorruptData, "defined twice [y]");

  model = testing::small_model();
  testing::add_operation(&testing::block_of(&model), "relu", "x", "x", type);
  expect_failure(read_function(model), StatusCode::kCorruptData, "defined twice [x]");
}

TEST(PackageProgram, RefusesAnUndefinedOutput) {
  proto::Model model = testing::small_model();
  testing::block_of(&model).add_outputs("nothing");
  expect_failure(read_function(model), StatusCode::kCorruptData, "nothing");
}

TEST(PackageProgram, RefusesAnArgumentThatIsNothing) {
  proto::Model model = testing::small_model();
  (*testing::block_of(&model).mutable_operations(0)->mutable_inputs())["z"].add_arguments();
  expect_failure(read_function(model), StatusCode::kCorruptData, "neither a name nor a value");
}

// cond with a block for each case, side by side with the same names inside.
proto::Model nested_model() {
  proto::Model model = testing::small_model();
  const proto::ValueType type = testing::tensor_type(proto::FLOAT32, {2, 3});
  proto::Block& block = testing::block_of(&model);
  block.clear_operations();
  proto::Operation* const cond = testing::add_operation(&block, "cond", "x", "y", type);
  for (int i = 0; i < 2; ++i) {
    proto::Block* const inner = cond->add_blocks();
    testing::add_operation(inner, "relu", "x", "inside", type);
    inner->add_outputs("inside");
  }
  return model;
}

TEST(PackageProgram, NestedBlocksSeeOuterNamesAndKeepTheirOwn) {
  const Result<Function> function = read_function(nested_model());
  ASSERT_TRUE(function.ok()) << function.status().to_string();
  const Operation& cond = function->body.operations[0];
  ASSERT_EQ(cond.blocks.size(), 2u);
  EXPECT_THAT(cond.blocks[1].outputs, ElementsAre("inside"));

  proto::Model model = nested_model();
  const proto::ValueType type = testing::tensor_type(proto::FLOAT32, {2, 3});
  testing::add_operation(&testing::block_of(&model), "relu", "inside", "z", type);
  expect_failure(read_function(model), StatusCode::kCorruptData,
                 "used before it is defined [inside]");

  model = nested_model();
  testing::add_operation(testing::block_of(&model).mutable_operations(0)->mutable_blocks(0), "relu",
                         "x", "x", type);
  expect_failure(read_function(model), StatusCode::kCorruptData, "defined twice [x]");
}

// A program of `depth` blocks, each in an operation of the one around it.
proto::Model deep_model(int depth) {
  proto::Model model = testing::small_model();
  proto::Block* block = &testing::block_of(&model);
  for (int i = 0; i < depth; ++i) {
    proto::Operation* const operation = block->add_operations();
    operation->set_type("cond");
    block = operation->add_blocks();
  }
  return model;
}

TEST(PackageProgram, LimitsTheDepthOfBlocks) {
  EXPECT_TRUE(read_function(deep_model(64)).ok());
  expect_failure(read_function(deep_model(65)), StatusCode::kCorruptData, "nested deeper than 64");
  // Deeper than the parser of the message goes: still no crash.
  expect_failure(read_function(deep_model(3000)), StatusCode::kCorruptData, "nested too deeply");
}

TEST(PackageProgram, LimitsTheNumberOfOperations) {
  Limits limits;
  limits.max_operations = 2;
  proto::Model model = nested_model();
  const Result<Package> package = Package::open(testing::package_of(model), limits);
  ASSERT_TRUE(package.ok());
  expect_failure(package->function(""), StatusCode::kCorruptData, "more than 2 operations");
}

}  // namespace
}  // namespace coreml_delegate::model
