#include "runtime/delegate/binding_plan.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate {
namespace {

using ::testing::HasSubstr;

TensorSpec spec(std::string name, DataType dtype, std::vector<Dimension> shape) {
  return {
      .name = std::move(name), .dtype = dtype, .shape = std::move(shape), .enumerated_shapes = {}};
}

const TensorSpec kModelX = spec("x", DataType::kFloat16, {{1, 8}, {3, 3}});
const TensorSpec kModelIds = spec("ids", DataType::kInt32, {{1, 1}});
const TensorSpec kModelY = spec("y", DataType::kFloat16, {{3, 3}});

engine::FunctionDescription description() {
  return {.name = "main", .inputs = {kModelX, kModelIds}, .outputs = {kModelY}, .states = {}};
}

blob::Function function() {
  return {.name = "main",
          .method = "forward",
          .inputs = {spec("ids", DataType::kInt64, {}),
                     spec("x", DataType::kFloat32, {{1, 4}, {3, 3}})},
          .outputs = {spec("y", DataType::kFloat32, {{3, 3}})},
          .states = {}};
}

Status failure(const blob::Function& function) {
  return make_binding_plan(function, description()).status();
}

TEST(BindingPlanTest, ArgumentsFollowTheBlobTensorsTheModel) {
  const Result<BindingPlan> plan = make_binding_plan(function(), description());
  ASSERT_TRUE(plan.ok()) << plan.status().to_string();
  ASSERT_EQ(plan->inputs.size(), 2u);
  EXPECT_EQ(plan->inputs[0].what, "input ids (argument 0)");
  EXPECT_EQ(plan->inputs[0].model_index, 1u);
  EXPECT_EQ(plan->inputs[0].declared.dtype, DataType::kInt64);
  EXPECT_EQ(plan->inputs[0].model, kModelIds);
  EXPECT_FALSE(plan->inputs[0].is_dynamic);
  EXPECT_EQ(plan->inputs[1].what, "input x (argument 1)");
  EXPECT_EQ(plan->inputs[1].model_index, 0u);
  EXPECT_TRUE(plan->inputs[1].is_dynamic);
  EXPECT_EQ(plan->outputs[0].what, "output y (argument 2)");
}

TEST(BindingPlanTest, ABlobThatIsNotAboutThisModelIsRefused) {
  blob::Function changed = function();
  changed.inputs[1].name = "image";
  EXPECT_EQ(failure(changed).code(), StatusCode::kCorruptData);
  EXPECT_EQ(failure(changed).artifact(), "image");
  EXPECT_THAT(failure(changed).message(), HasSubstr("it has x, ids"));

  changed = function();
  changed.inputs.pop_back();
  EXPECT_EQ(failure(changed).message(),
            "the blob lists 1 inputs (ids), but the model has 2 (x, ids)");

  changed = function();
  changed.outputs.clear();
  EXPECT_EQ(failure(changed).message(), "the blob lists 0 outputs (none), but the model has 1 (y)");

  changed = function();
  changed.inputs[0] = changed.inputs[1];
  EXPECT_THAT(failure(changed).message(), HasSubstr("twice"));
  EXPECT_EQ(failure(changed).artifact(), "x");
}

TEST(BindingPlanTest, AShapeNoTensorOfBothCouldHaveIsRefused) {
  blob::Function changed = function();
  changed.inputs[1].shape = {{9, 12}, {3, 3}};
  EXPECT_EQ(failure(changed).code(), StatusCode::kCorruptData);
  EXPECT_THAT(failure(changed).message(),
              HasSubstr("x: float32[9..12, 3], but the model has x: float16[1..8, 3]"));
  changed.inputs[1].shape = {{3, 3}};
  EXPECT_EQ(failure(changed).code(), StatusCode::kCorruptData);
  changed.inputs[1].shape = {{4, Dimension::kUnbounded}, {3, 3}};
  EXPECT_TRUE(failure(changed).ok());
  // Rank 0 stands for [1], not for other shapes.
  changed.outputs[0].shape = {};
  EXPECT_EQ(failure(changed).artifact(), "y");
}

TEST(BindingPlanTest, AStockBlobsNamesAreEnough) {
  const blob::Function names{.name = "",
                             .method = "",
                             .inputs = {{.name = "x"}, {.name = "ids"}},
                             .outputs = {{.name = "y"}},
                             .states = {}};
  const Result<BindingPlan> plan = make_binding_plan(names, description());
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->inputs[0].declared.dtype, DataType::kInvalid);
  EXPECT_EQ(plan->inputs[0].model.dtype, DataType::kFloat16);
}

TEST(BindingPlanTest, AModelTensorThatCannotBePassedIsUnsupported) {
  engine::FunctionDescription model = description();
  model.outputs[0].dtype = DataType::kInvalid;
  EXPECT_EQ(make_binding_plan(function(), model).status().code(), StatusCode::kUnsupported);
  model = description();
  model.outputs[0].shape.assign(17, {1, 1});
  EXPECT_EQ(make_binding_plan(function(), model).status().code(), StatusCode::kUnsupported);
}

// States -----------------------------------------------------------------------------------------

class InitialStateTest : public ::testing::Test {
 protected:
  InitialStateTest() {
    std::memcpy(bytes_.data(), kValues, sizeof(kValues));
    EXPECT_TRUE(blob_.files.add_file("state/cache.bin", Bytes(ByteSpan(bytes_))).ok());
    function_.states = {{.tensor = spec("cache", DataType::kFloat32, {{3, 3}}),
                         .initial_value_path = "state/cache.bin"}};
    description_.states = {spec("cache", DataType::kFloat32, {{3, 3}})};
  }
  Result<std::vector<engine::InitialStateValue>> values() {
    return initial_state_values(blob_, function_, description_);
  }

  static constexpr float kValues[3] = {1, -2, 0.5};
  std::vector<std::byte> bytes_ = std::vector<std::byte>(sizeof(kValues));
  blob::Blob blob_;
  blob::Function function_;
  engine::FunctionDescription description_;
};

TEST_F(InitialStateTest, TheBytesOfTheBlobAreUsedWhereTheyLie) {
  const auto initial = values();
  ASSERT_TRUE(initial.ok()) << initial.status().to_string();
  ASSERT_EQ(initial->size(), 1u);
  EXPECT_EQ((*initial)[0].name, "cache");
  EXPECT_EQ((*initial)[0].value.data(), bytes_.data());
}

TEST_F(InitialStateTest, AFloat32BufferStartsAFloat16State) {
  description_.states[0].dtype = DataType::kFloat16;
  const auto initial = values();
  ASSERT_TRUE(initial.ok()) << initial.status().to_string();
  uint16_t halves[3];
  ASSERT_EQ((*initial)[0].value.size(), sizeof(halves));
  std::memcpy(halves, (*initial)[0].value.data(), sizeof(halves));
  EXPECT_EQ(halves[0], 0x3c00);
  EXPECT_EQ(halves[1], 0xc000);
  EXPECT_EQ(halves[2], 0x3800);
  // A value the state cannot hold is an error, not infinity.
  const float huge = 1e6f;
  std::memcpy(bytes_.data(), &huge, sizeof(huge));
  EXPECT_EQ(values().status().artifact(), "initial value of state cache");
}

TEST_F(InitialStateTest, AStateWithoutAValueStartsAtZeroWhichIsTheEnginesTask) {
  function_.states[0].initial_value_path.clear();
  EXPECT_TRUE(values()->empty());
}

TEST_F(InitialStateTest, StatesThatAreNotTheModelsAreRefused) {
  description_.states[0].name = "other";
  EXPECT_EQ(values().status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(values().status().artifact(), "cache");
  description_.states.clear();
  EXPECT_EQ(values().status().message(), "the blob lists 1 states, but the model has 0 (none)");
  description_.states = {spec("cache", DataType::kFloat32, {{4, 4}})};
  EXPECT_THAT(values().status().message(),
              HasSubstr("cache: float32[3], but the model has cache: float32[4]"));
}

TEST_F(InitialStateTest, AValueOfAnotherSizeIsRefused) {
  function_.states[0].tensor.shape = description_.states[0].shape = {{2, 2}};
  EXPECT_EQ(values().status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(values().status().artifact(), "state/cache.bin");
  // A size that wraps around to the file's.
  function_.states[0].tensor.shape =
      description_.states[0].shape = {{int64_t{1} << 62, int64_t{1} << 62}, {16, 16}};
  EXPECT_EQ(values().status().code(), StatusCode::kCorruptData);
  function_.states[0].initial_value_path = "state/missing.bin";
  function_.states[0].tensor.shape = description_.states[0].shape = {{3, 3}};
  EXPECT_EQ(values().status().code(), StatusCode::kNotFound);
}

TEST_F(InitialStateTest, AStockBlobListsNoStates) {
  blob_.format = blob::Format::kFlattenedDirectory;
  function_.states.clear();
  EXPECT_TRUE(values().ok());
  EXPECT_TRUE(values()->empty());
}

}  // namespace
}  // namespace coreml_delegate
