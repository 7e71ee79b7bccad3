#include "runtime/delegate/argument_binding.h"

#include <executorch/runtime/platform/runtime.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/tensor_types.h"
#include "runtime/delegate/testing_support.h"
#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate {
namespace {

using executorch::aten::ScalarType;
using testing::Arguments;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TestTensor;
using Dynamism = TestTensor::Dynamism;

// A toy model behind a binding as for a stock blob (names only) or one of ours (`declared`).
class Bound {
 public:
  explicit Bound(std::string program, bool accepts_strides = true,
                 std::vector<TensorSpec> declared_inputs = {},
                 std::vector<TensorSpec> declared_outputs = {})
      : program_(std::move(program)),
        engine_({.name = "bound", .accepts_strides = accepts_strides}) {
    executorch::runtime::runtime_init();
    auto tree = engine::make_fake_package(program_);
    EXPECT_TRUE(tree.ok());
    auto model = engine_.load_source({.files = &*tree, .name = "toy"}, {});
    EXPECT_TRUE(model.ok()) << model.status().to_string();
    model_ = *std::move(model);
    blob::Function function{.name = "main",
                            .inputs = std::move(declared_inputs),
                            .outputs = std::move(declared_outputs)};
    const engine::FunctionDescription& description = model_->description();
    if (function.inputs.empty()) {
      for (const TensorSpec& spec : description.inputs)
        function.inputs.push_back({.name = spec.name});
    }
    if (function.outputs.empty()) {
      for (const TensorSpec& spec : description.outputs)
        function.outputs.push_back({.name = spec.name});
    }
    auto plan = make_binding_plan(function, description);
    EXPECT_TRUE(plan.ok()) << plan.status().to_string();
    binding_ = std::make_unique<ArgumentBinding>(*std::move(plan), *model_);
  }

  // What an instance does.
  Status call(Arguments args, engine::State* state = nullptr) {
    COREML_DELEGATE_RETURN_IF_ERROR(binding_->bind(args.span()));
    const Status status =
        model_->execute(binding_->inputs(), binding_->outputs(), {.state = state});
    if (!status.ok()) {
      binding_->abandon();
      return status;
    }
    return binding_->finish();
  }
  ArgumentBinding& binding() { return *binding_; }
  engine::FakeControls& controls() { return engine_.controls(); }

 private:
  const std::string program_;
  engine::FakeEngine engine_;
  std::unique_ptr<engine::Model> model_;
  std::unique_ptr<ArgumentBinding> binding_;
};

constexpr char kIdentity[] =
    "function main\ninput x float32 [2, 3]\noutput y float32 [2, 3] = identity x\n";

TEST(ArgumentBindingTest, AContiguousTensorOfTheModelsDtypeIsPassedInPlace) {
  Bound bound(kIdentity);
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 2, 3, 4, 5, 6});
  TestTensor y(ScalarType::Float, {2, 3});
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(bound.binding().inputs()[0].data, x->memory().data());
  EXPECT_EQ(bound.binding().outputs()[0].data, y.memory().data());
  EXPECT_FALSE(bound.binding().converts_inputs() || bound.binding().converts_outputs());
}

TEST(ArgumentBindingTest, AnyDimOrderTheEngineCanAddressIsPassedInPlace) {
  Bound bound(kIdentity);
  // Column by column in memory.
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 4, 2, 5, 3, 6}, {1, 0});
  TestTensor y(ScalarType::Float, {2, 3}, {1, 0});
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_EQ(bound.binding().inputs()[0].data, x->memory().data());
  EXPECT_EQ(bound.binding().outputs()[0].data, y.memory().data());
  // And from one order to another.
  TestTensor rows(ScalarType::Float, {2, 3});
  ASSERT_TRUE(bound.call({x.get(), &rows}).ok());
  EXPECT_THAT(rows.values<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(ArgumentBindingTest, ADimOrderTheEngineCannotAddressIsCopied) {
  Bound bound(kIdentity, /*accepts_strides=*/false);
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 4, 2, 5, 3, 6}, {1, 0});
  TestTensor y(ScalarType::Float, {2, 3}, {1, 0});
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_NE(bound.binding().inputs()[0].data, x->memory().data());
  EXPECT_TRUE(bound.binding().converts_inputs() && bound.binding().converts_outputs());
}

TEST(ArgumentBindingTest, BuffersAreKeptFromCallToCall) {
  Bound bound("function main\ninput x float16 [2, 3]\noutput y float16 [2, 3] = identity x\n");
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 2, 3, 4, 5, 6});
  TestTensor y(ScalarType::Float, {2, 3});
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  const void* input = bound.binding().inputs()[0].data;
  const void* output = bound.binding().outputs()[0].data;
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  EXPECT_EQ(bound.binding().inputs()[0].data, input);
  EXPECT_EQ(bound.binding().outputs()[0].data, output);
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

// Every pair of dtypes, both ways, in both layouts, with small values that all of them hold.
TEST(ArgumentBindingTest, EveryDtypeGoesToEveryModelDtypeAndBackInEveryLayout) {
  constexpr ScalarType kTypes[] = {
      ScalarType::Bool, ScalarType::Char, ScalarType::Byte, ScalarType::Short, ScalarType::UInt16,
      ScalarType::Int,  ScalarType::Long, ScalarType::Half, ScalarType::Float, ScalarType::Double};
  for (const ScalarType model_type : kTypes) {
    const std::string model_dtype(data_type_name(to_data_type(model_type)));
    for (const bool accepts_strides : {true, false}) {
      Bound bound("function main\ninput x " + model_dtype + " [2, 3]\noutput y " + model_dtype +
                      " [2, 3] = identity x\n",
                  accepts_strides);
      for (const ScalarType type : kTypes) {
        for (const std::vector<uint8_t>& order :
             {std::vector<uint8_t>{0, 1}, std::vector<uint8_t>{1, 0}}) {
          SCOPED_TRACE(scalar_type_text(type) + " tensor, " + model_dtype + " model");
          // 0 and 1 in a pattern, in the tensor's dtype and dim order.
          const bool pattern[2][3] = {{true, false, true}, {false, false, true}};
          TestTensor x(type, {2, 3}, order);
          TestTensor y(type, {2, 3}, order);
          const std::vector<int64_t> strides(x.impl().strides().begin(), x.impl().strides().end());
          std::vector<float> values(6);
          for (int64_t i = 0; i < 2; ++i) {
            for (int64_t j = 0; j < 3; ++j)
              values[static_cast<size_t>(i * strides[0] + j * strides[1])] = pattern[i][j];
          }
          const std::vector<int64_t> six = {6};
          const std::vector<int64_t> one = {1};
          ASSERT_TRUE(convert_tensor(six, {DataType::kFloat32, values.data(), one},
                                     {to_data_type(type), x.memory().data(), one}, "x")
                          .ok());
          y.fill(0x7f);
          ASSERT_TRUE(bound.call({&x, &y}).ok());
          EXPECT_EQ(std::memcmp(x.memory().data(), y.memory().data(),
                                6 * data_type_size(to_data_type(type))),
                    0);
        }
      }
    }
  }
}

TEST(ArgumentBindingTest, Int64IdsReachAnInt32ModelAndThoseThatDoNotFitAreErrors) {
  Bound bound("function main\ninput ids int32 [1, 3]\noutput y int32 [1, 3] = identity ids\n");
  auto ids = TestTensor::of<int64_t>(ScalarType::Long, {1, 3}, {101, -2147483648LL, 2147483647});
  TestTensor y(ScalarType::Long, {1, 3});
  ASSERT_TRUE(bound.call({ids.get(), &y}).ok());
  EXPECT_THAT(y.values<int64_t>(), ElementsAre(101, -2147483648LL, 2147483647));
  auto far = TestTensor::of<int64_t>(ScalarType::Long, {1, 3}, {101, 2147483648LL, 0});
  const Status status = bound.call({far.get(), &y});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "the int64 value 2147483648 at index [0, 1] does not fit int32");
  EXPECT_EQ(status.artifact(), "input ids (argument 0)");
  EXPECT_EQ(bound.controls().count(engine::FakeStage::kExecute), 1)
      << "the model must not have run";
}

TEST(ArgumentBindingTest, AnOutputValueThatDoesNotFitIsAnError) {
  Bound bound("function main\ninput x float32 [2]\noutput y float32 [2] = identity x\n");
  auto x = TestTensor::of<float>(ScalarType::Float, {2}, {3, 300});
  TestTensor y(ScalarType::Char, {2});
  const Status status = bound.call({x.get(), &y});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "the float32 value 300 at index [1] does not fit int8");
  EXPECT_EQ(status.artifact(), "output y (argument 1)");
  EXPECT_TRUE(bound.binding().finish_can_fail());
}

TEST(ArgumentBindingTest, ArgumentsAreMatchedByNameNotByTheModelsOrder) {
  Bound bound(
      "function main\ninput a float32 [1]\ninput b float32 [1]\noutput p float32 [1] = identity "
      "a\noutput q float32 [1] = identity b\n",
      true, {{.name = "b"}, {.name = "a"}}, {{.name = "q"}, {.name = "p"}});
  auto b = TestTensor::of<float>(ScalarType::Float, {1}, {2});
  auto a = TestTensor::of<float>(ScalarType::Float, {1}, {1});
  TestTensor q(ScalarType::Float, {1});
  TestTensor p(ScalarType::Float, {1});
  ASSERT_TRUE(bound.call({b.get(), a.get(), &q, &p}).ok());
  EXPECT_THAT(q.values<float>(), ElementsAre(2));
  EXPECT_THAT(p.values<float>(), ElementsAre(1));
}

TEST(ArgumentBindingTest, ATensorOfRankZeroStandsForOneElement) {
  Bound bound("function main\ninput x int32 [1]\noutput y float32 [1] = add x x\n");
  auto x = TestTensor::of<int64_t>(ScalarType::Long, {}, {21});
  TestTensor y(ScalarType::Float, {});
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  EXPECT_THAT(y.values<float>(), ElementsAre(42));
  TestTensor converted(ScalarType::Int, {});
  ASSERT_TRUE(bound.call({x.get(), &converted}).ok());
  EXPECT_THAT(converted.values<int32_t>(), ElementsAre(42));
}

TEST(ArgumentBindingTest, TheNumberOfArgumentsIsChecked) {
  Bound bound(kIdentity);
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 2, 3, 4, 5, 6});
  TestTensor y(ScalarType::Float, {2, 3});
  for (const Arguments& args :
       {Arguments({}), Arguments({x.get()}), Arguments({x.get(), &y, &y})}) {
    const Status status = bound.call(args);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("the model takes 1 inputs and 1 outputs"));
  }
}

TEST(ArgumentBindingTest, WhatIsNoUsableTensorIsNamed) {
  Bound bound(kIdentity);
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 2, 3, 4, 5, 6});
  TestTensor y(ScalarType::Float, {2, 3});
  const auto failure = [&](executorch::runtime::EValue* first,
                           executorch::runtime::EValue* second) {
    Arguments args({x.get(), &y});
    args.values() = {first, second};
    const Status status = bound.call(args);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status;
  };
  executorch::runtime::EValue number(int64_t{3});
  EXPECT_EQ(failure(&number, y.value()).artifact(), "input x (argument 0)");
  EXPECT_EQ(failure(x->value(), &number).message(), "the argument is not a tensor");
  EXPECT_EQ(failure(nullptr, y.value()).message(), "the argument is not a tensor");
  TestTensor bfloat(ScalarType::BFloat16, {2, 3});
  EXPECT_THAT(failure(bfloat.value(), y.value()).message(),
              HasSubstr("cannot be passed to a Core ML model"));
  TestTensor no_memory(ScalarType::Float, {2, 3});
  no_memory.impl().set_data(nullptr);
  EXPECT_EQ(failure(no_memory.value(), y.value()).message(), "the tensor has no memory");
  EXPECT_EQ(failure(x->value(), no_memory.value()).artifact(), "output y (argument 1)");
  TestTensor crooked(ScalarType::Float, {2, 3});
  crooked.impl().set_data(crooked.memory().data() + 1);
  EXPECT_EQ(failure(crooked.value(), y.value()).message(),
            "the tensor's memory is not aligned for float32");
}

TEST(ArgumentBindingTest, AWrongShapeIsNamedAndNothingIsWritten) {
  Bound bound(kIdentity);
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 2, 3, 4, 5, 6});
  TestTensor y(ScalarType::Float, {2, 3});
  y.fill(0x11);
  const std::vector<std::byte> untouched = y.memory();
  TestTensor transposed(ScalarType::Float, {3, 2});
  Status status = bound.call({&transposed, &y});
  EXPECT_EQ(status.message(),
            "the tensor's shape [3, 2] is not one of those that the model takes: x: float32[2, 3]");
  TestTensor flat(ScalarType::Float, {6});
  status = bound.call({&flat, &y});
  EXPECT_EQ(status.message(),
            "the tensor's shape [6] has rank 1, but the model takes x: float32[2, 3]");
  // An output that is too small, too: the stock delegate copies before it looks.
  TestTensor small(ScalarType::Float, {2, 2});
  status = bound.call({x.get(), &small});
  EXPECT_EQ(status.artifact(), "output y (argument 1)");
  EXPECT_EQ(y.memory(), untouched);
  EXPECT_EQ(bound.controls().count(engine::FakeStage::kExecute), 0);
}

TEST(ArgumentBindingTest, TheDtypeAndShapeTheProgramWasLoweredForAreChecked) {
  const TensorSpec x_spec{.name = "x", .dtype = DataType::kInt64, .shape = {{1, 4}}};
  const TensorSpec y_spec{.name = "y", .dtype = DataType::kInt64, .shape = {{1, 4}}};
  Bound bound("function main\ninput x int32 [1..8]\noutput y int32 [1..8] = identity x\n", true,
              {x_spec}, {y_spec});
  auto good = TestTensor::of<int64_t>(ScalarType::Long, {4}, {1, 2, 3, 4});
  TestTensor y(ScalarType::Long, {4}, {}, Dynamism::DYNAMIC_BOUND);
  ASSERT_TRUE(bound.call({good.get(), &y}).ok());
  auto other_dtype = TestTensor::of<int32_t>(ScalarType::Int, {4}, {1, 2, 3, 4});
  EXPECT_EQ(bound.call({other_dtype.get(), &y}).message(),
            "the tensor is int32, but the program was lowered for int64");
  TestTensor too_long(ScalarType::Long, {5});
  EXPECT_EQ(bound.call({&too_long, &y}).message(),
            "the tensor's shape [5] is not one of those that the program was lowered for: x: "
            "int64[1..4]");
}

TEST(ArgumentBindingTest, EnumeratedShapesOfSeveralInputsBelongTogether) {
  const auto enumerated = [](const char* name) {
    return TensorSpec{.name = name,
                      .dtype = DataType::kFloat32,
                      .shape = {{1, 4}},
                      .enumerated_shapes = {{1}, {4}}};
  };
  Bound bound(
      "function main\ninput a float32 [1..4]\ninput b float32 [1..4]\n"
      "output y float32 [1..4] = identity a\n",
      true, {enumerated("a"), enumerated("b")},
      {{.name = "y", .dtype = DataType::kFloat32, .shape = {{1, 4}}}});
  TestTensor one(ScalarType::Float, {1});
  TestTensor four(ScalarType::Float, {4});
  TestTensor y(ScalarType::Float, {4}, {}, Dynamism::DYNAMIC_BOUND);
  EXPECT_TRUE(bound.call({&one, &one, &y}).ok());
  EXPECT_TRUE(bound.call({&four, &four, &y}).ok());
  EXPECT_EQ(bound.call({&one, &four, &y}).message(),
            "the shapes a [1], b [4] are each enumerated, but not together: all inputs must have "
            "the shapes at the same position of their lists");
}

constexpr char kNonzero[] =
    "function main\ninput x float32 [1..8]\noutput n int32 [0..8] = nonzero x\n";

TEST(ArgumentBindingTest, ADynamicOutputTakesTheShapeOfTheResultAgainAndAgain) {
  Bound bound(kNonzero);
  TestTensor in_place(ScalarType::Int, {8}, {}, Dynamism::DYNAMIC_BOUND);
  TestTensor converted(ScalarType::Long, {8}, {}, Dynamism::DYNAMIC_BOUND);
  auto two = TestTensor::of<float>(ScalarType::Float, {4}, {0, 1, 0, 1});
  auto none = TestTensor::of<float>(ScalarType::Float, {2}, {0, 0});
  auto eight = TestTensor::of<float>(ScalarType::Float, {8}, {1, 1, 1, 1, 1, 1, 1, 1});
  // Shrinks, becomes empty, and grows back to what its memory holds.
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(bound.call({two.get(), &in_place}).ok());
    EXPECT_THAT(in_place.values<int32_t>(), ElementsAre(1, 3));
    EXPECT_THAT(in_place.sizes(), ElementsAre(2));
    EXPECT_EQ(bound.binding().outputs()[0].data, in_place.memory().data());
    ASSERT_TRUE(bound.call({none.get(), &in_place}).ok());
    EXPECT_THAT(in_place.sizes(), ElementsAre(0));
    ASSERT_TRUE(bound.call({eight.get(), &in_place}).ok());
    EXPECT_THAT(in_place.values<int32_t>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));

    ASSERT_TRUE(bound.call({two.get(), &converted}).ok());
    EXPECT_THAT(converted.values<int64_t>(), ElementsAre(1, 3));
    ASSERT_TRUE(bound.call({eight.get(), &converted}).ok());
    EXPECT_THAT(converted.values<int64_t>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  }
}

TEST(ArgumentBindingTest, ADynamicResultInAnotherDimOrder) {
  Bound bound(
      "function main\ninput x float32 [2, 1..4]\noutput y float32 [2, 1..4] = identity x\n");
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 2, 3, 4, 5, 6});
  TestTensor y(ScalarType::Float, {2, 4}, {1, 0}, Dynamism::DYNAMIC_BOUND);
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  EXPECT_THAT(y.sizes(), ElementsAre(2, 3));
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST(ArgumentBindingTest, AResultBeyondTheCapacityIsRefusedBeforeAnythingIsWritten) {
  Bound bound(kNonzero);
  auto eight = TestTensor::of<float>(ScalarType::Float, {8}, {1, 1, 1, 1, 1, 1, 1, 1});
  for (const ScalarType type : {ScalarType::Int, ScalarType::Long}) {
    TestTensor n(type, {3}, {}, Dynamism::DYNAMIC_BOUND);
    n.fill(0x22);
    const std::vector<std::byte> untouched = n.memory();
    const Status status = bound.call({eight.get(), &n});
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("the output needs 32 bytes, its buffer has 12"));
    EXPECT_EQ(n.memory(), untouched);
    EXPECT_THAT(n.sizes(), ElementsAre(3));
  }
}

TEST(ArgumentBindingTest, AStaticTensorForADynamicResultMustHappenToFit) {
  Bound bound(kNonzero);
  auto two = TestTensor::of<float>(ScalarType::Float, {4}, {0, 1, 0, 1});
  TestTensor fits(ScalarType::Int, {2});
  ASSERT_TRUE(bound.call({two.get(), &fits}).ok());
  EXPECT_THAT(fits.values<int32_t>(), ElementsAre(1, 3));
  TestTensor larger(ScalarType::Int, {5});
  const Status status = bound.call({two.get(), &larger});
  EXPECT_EQ(status.message(),
            "the result has shape [2], but the tensor that the caller passed cannot be resized to "
            "it; it was made for [5]");
  EXPECT_EQ(status.artifact(), "output n (argument 1)");
  EXPECT_TRUE(bound.binding().finish_can_fail());
}

TEST(ArgumentBindingTest, ADynamicTensorForAStaticOutputIsSetToItsShape) {
  Bound bound(kIdentity);
  auto x = TestTensor::of<float>(ScalarType::Float, {2, 3}, {1, 2, 3, 4, 5, 6});
  TestTensor y(ScalarType::Float, {4, 4}, {}, Dynamism::DYNAMIC_BOUND);
  ASSERT_TRUE(bound.call({x.get(), &y}).ok());
  EXPECT_THAT(y.sizes(), ElementsAre(2, 3));
  EXPECT_THAT(y.values<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  TestTensor small(ScalarType::Float, {2, 2}, {}, Dynamism::DYNAMIC_BOUND);
  EXPECT_THAT(bound.call({x.get(), &small}).message(), HasSubstr("memory is too small"));
}

TEST(ArgumentBindingTest, AFailedExecutionLeavesShapesAndContentsAsTheyWere) {
  Bound bound(kNonzero);
  auto two = TestTensor::of<float>(ScalarType::Float, {4}, {0, 1, 0, 1});
  TestTensor n(ScalarType::Int, {8}, {}, Dynamism::DYNAMIC_BOUND);
  ASSERT_TRUE(bound.call({two.get(), &n}).ok());
  bound.controls().fail_next(engine::FakeStage::kExecute, engine_failure("out of luck"));
  EXPECT_EQ(bound.call({two.get(), &n}).code(), StatusCode::kEngineFailure);
  EXPECT_THAT(n.sizes(), ElementsAre(2));
  EXPECT_THAT(n.values<int32_t>(), ElementsAre(1, 3));
  // One failure does not change how later calls work: outputs are still written in place.
  ASSERT_TRUE(bound.call({two.get(), &n}).ok());
  EXPECT_EQ(bound.binding().outputs()[0].data, n.memory().data());
}

TEST(ArgumentBindingTest, TensorsWithoutElementsPass) {
  Bound bound(
      "function main\ninput x float16 [0..4, 2]\noutput y float16 [0..4, 2] = identity x\n");
  TestTensor x(ScalarType::Float, {0, 2});
  x.impl().set_data(nullptr);
  TestTensor y(ScalarType::Float, {4, 2}, {}, Dynamism::DYNAMIC_BOUND);
  ASSERT_TRUE(bound.call({&x, &y}).ok());
  EXPECT_THAT(y.sizes(), ElementsAre(0, 2));
}

}  // namespace
}  // namespace coreml_delegate
