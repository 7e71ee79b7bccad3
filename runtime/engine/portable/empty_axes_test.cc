// Results that have elements although an input has none: OpenVINO's CPU plugin skips most nodes
// with an empty input, and what it does not write is memory of before.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "openvino/openvino.hpp"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/translator.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;
using ::testing::Each;
using ::testing::ElementsAre;

using Arguments = std::map<std::string, std::vector<model::Argument>>;

constexpr int64_t kAny = model::kDynamicExtent;
// What lies in the memory of a result before.
constexpr float kPoison = 12345.0f;

model::ValueType tensor(ElementType element, std::vector<int64_t> shape) {
  model::ValueType type;
  type.element = element;
  type.shape = std::move(shape);
  return type;
}

template <typename T>
model::Argument constant(ElementType element, const std::vector<int64_t>& shape,
                         const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  auto result = std::make_shared<model::Constant>();
  result->type = tensor(element, shape);
  const auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  result->data = Bytes(ByteSpan(*owner), owner);
  return {"", result};
}
model::Argument ints(const std::vector<int64_t>& shape, const std::vector<int32_t>& values) {
  return constant(ElementType::kInt32, shape, values);
}
model::Argument floats(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  return constant(ElementType::kFloat32, shape, values);
}
model::Argument yes() { return constant(ElementType::kBool, {}, std::vector<uint8_t>{1}); }
model::Argument text(const std::string& value) {
  auto result = std::make_shared<model::Constant>();
  result->type = tensor(ElementType::kString, {});
  result->strings = {value};
  return {"", result};
}
model::Argument named(const std::string& name) { return {name, nullptr}; }

// y = type(arguments) of inputs, each executed with extents of 2 and then of 0 where they are open,
// unless a test says others.
class EmptyAxesTest : public ::testing::Test {
 protected:
  // The second result; none where the execution ended with an error.
  std::optional<std::vector<float>> run(const std::string& type, Arguments arguments,
                                        std::vector<model::NamedType> inputs,
                                        model::ValueType output, const std::string& opset) {
    model::Function function;
    function.name = "main";
    function.opset = opset;
    function.inputs = std::move(inputs);
    model::Operation operation;
    operation.type = type;
    operation.inputs = std::move(arguments);
    operation.outputs = {{"y", std::move(output)}};
    function.body.operations.push_back(std::move(operation));
    function.body.outputs = {"y"};
    return run(function);
  }

  std::optional<std::vector<float>> run(const model::Function& function) {
    const Result<Translation> translation = translate(function, {});
    EXPECT_TRUE(translation.ok()) << translation.status().to_string();
    if (!translation.ok()) return std::nullopt;
    ov::CompiledModel compiled = core().compile_model(
        translation->model, "CPU", compile_properties(NumericMode::kFloat32, 1, false));
    ov::InferRequest request = compiled.create_infer_request();
    std::optional<std::vector<float>> result;
    for (const size_t extent : extents_) {
      for (size_t i = 0; i < function.inputs.size(); ++i) {
        ov::Shape shape;
        for (const int64_t size : function.inputs[i].type.shape)
          shape.push_back(size == kAny ? extent : static_cast<size_t>(size));
        ov::Tensor x(compiled.input(i).get_element_type(), shape);
        std::memset(x.data(), 0, x.get_byte_size());
        if (x.get_element_type() == ov::element::f32)
          std::fill_n(x.data<float>(), x.get_size(), kPoison);
        request.set_input_tensor(i, x);
      }
      try {
        request.start_async();
        request.wait();
      } catch (const ov::Exception&) {
        // Of the first execution only where its zeros are no indices.
        result.reset();
        continue;
      }
      const ov::Tensor y = request.get_output_tensor(0);
      result.emplace();
      for (size_t i = 0; i < y.get_size(); ++i) {
        result->push_back(y.get_element_type() == ov::element::f32
                              ? y.data<float>()[i]
                              : static_cast<float>(y.data<int32_t>()[i]));
      }
    }
    return result;
  }

  std::vector<size_t> extents_ = {2, 0};
};

model::NamedType x_of(ElementType element, std::vector<int64_t> shape) {
  return {"x", tensor(element, std::move(shape))};
}

// There is nothing to gather: an error, as for every index outside, or zeros as the plugin gives.
void expect_no_stale_elements(const std::optional<std::vector<float>>& result) {
  if (result) EXPECT_THAT(*result, Each(0.0f));
}

TEST_F(EmptyAxesTest, GatherGivesNothingOfBefore) {
  expect_no_stale_elements(run(
      "gather", {{"x", {named("x")}}, {"indices", {ints({1}, {0})}}, {"axis", {ints({}, {0})}}},
      {x_of(ElementType::kFloat32, {kAny, 4})}, tensor(ElementType::kFloat32, {1, 4}), "CoreML7"));
}

TEST_F(EmptyAxesTest, GatherAlongAxisGivesNothingOfBefore) {
  expect_no_stale_elements(run(
      "gather_along_axis",
      {{"x", {named("x")}}, {"indices", {ints({1, 4}, {0, 0, 0, 0})}}, {"axis", {ints({}, {0})}}},
      {x_of(ElementType::kFloat32, {kAny, 4})}, tensor(ElementType::kFloat32, {1, 4}), "CoreML7"));
}

TEST_F(EmptyAxesTest, GatherNdGivesNothingOfBefore) {
  expect_no_stale_elements(run("gather_nd", {{"x", {named("x")}}, {"indices", {ints({1, 1}, {0})}}},
                               {x_of(ElementType::kFloat32, {kAny, 4})},
                               tensor(ElementType::kFloat32, {1, 4}), "CoreML7"));
}

TEST_F(EmptyAxesTest, ScatterOfNoUpdatesIsTheData) {
  const model::Argument data = floats({3}, {1, 2, 3});
  for (const char* mode : {"update", "add"}) {
    for (const char* type : {"scatter", "scatter_along_axis", "scatter_nd"}) {
      const bool nd = std::string(type) == "scatter_nd";
      Arguments arguments = {{"data", {data}},
                             {"indices", {named("i")}},
                             {"updates", {named("x")}},
                             {"mode", {text(mode)}}};
      if (!nd) arguments["axis"] = {ints({}, {0})};
      const auto y = run(type, arguments,
                         {x_of(ElementType::kFloat32, {kAny}),
                          {"i", tensor(ElementType::kInt32, nd ? std::vector<int64_t>{kAny, 1}
                                                               : std::vector<int64_t>{kAny})}},
                         tensor(ElementType::kFloat32, {3}), "CoreML7");
      ASSERT_TRUE(y) << type << mode;
      EXPECT_THAT(*y, ElementsAre(1, 2, 3)) << type << mode;
    }
  }
}

TEST_F(EmptyAxesTest, ReductionsGiveTheirNeutralElement) {
  const auto reduce = [&](const std::string& type, ElementType element) {
    const auto y = run(type, {{"x", {named("x")}}, {"axes", {ints({1}, {0})}}},
                       {x_of(element, {kAny, 2})}, tensor(element, {2}), "CoreML7");
    EXPECT_TRUE(y) << type;
    return y.value_or(std::vector<float>());
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(reduce("reduce_sum", ElementType::kFloat32), ElementsAre(0, 0));
  EXPECT_THAT(reduce("reduce_sum", ElementType::kInt32), ElementsAre(0, 0));
  EXPECT_THAT(reduce("reduce_prod", ElementType::kFloat32), ElementsAre(1, 1));
  EXPECT_THAT(reduce("reduce_prod", ElementType::kInt32), ElementsAre(1, 1));
  EXPECT_THAT(reduce("reduce_sum_square", ElementType::kFloat32), ElementsAre(0, 0));
  EXPECT_THAT(reduce("reduce_l2_norm", ElementType::kFloat32), ElementsAre(0, 0));
  EXPECT_THAT(reduce("reduce_l1_norm", ElementType::kFloat32), ElementsAre(0, 0));
  EXPECT_THAT(reduce("reduce_log_sum_exp", ElementType::kFloat32),
              ElementsAre(-kInfinity, -kInfinity));
  EXPECT_THAT(reduce("reduce_mean", ElementType::kFloat32), Each(::testing::IsNan()));
  for (const char* type : {"reduce_max", "reduce_min"}) {
    EXPECT_THAT(reduce(type, ElementType::kFloat32), ::testing::Not(::testing::Contains(kPoison)))
        << type;
  }
}

TEST_F(EmptyAxesTest, ProductsOverNothingAreZero) {
  for (const ElementType element : {ElementType::kFloat32, ElementType::kInt32}) {
    const auto y = run("matmul", {{"x", {named("x")}}, {"y", {named("z")}}},
                       {x_of(element, {3, kAny}), {"z", tensor(element, {kAny, 2})}},
                       tensor(element, {3, 2}), "CoreML7");
    ASSERT_TRUE(y);
    EXPECT_THAT(*y, Each(0.0f));
  }
}

TEST_F(EmptyAxesTest, ProductsWithAWeightOfNothingAreZero) {
  extents_ = {3, 64};
  const model::Argument weight = floats({512, 0}, {});
  const auto y = run("linear", {{"x", {named("x")}}, {"weight", {weight}}},
                     {x_of(ElementType::kFloat32, {kAny, kAny, 0})},
                     tensor(ElementType::kFloat32, {kAny, kAny, 512}), "CoreML7");
  ASSERT_TRUE(y);
  EXPECT_EQ(y->size(), 64u * 64 * 512);
  EXPECT_THAT(*y, Each(0.0f));
  const auto z = run("matmul", {{"x", {named("x")}}, {"y", {weight}}, {"transpose_y", {yes()}}},
                     {x_of(ElementType::kFloat32, {kAny, 0})},
                     tensor(ElementType::kFloat32, {kAny, 512}), "CoreML7");
  ASSERT_TRUE(z);
  EXPECT_EQ(z->size(), 64u * 512);
  EXPECT_THAT(*z, Each(0.0f));
}

TEST_F(EmptyAxesTest, ARecurrenceOfNoFeaturesIsRefused) {
  model::Function function;
  function.name = "main";
  function.opset = "CoreML6";
  function.inputs = {x_of(ElementType::kFloat32, {kAny, kAny, 0})};
  model::Operation operation;
  operation.type = "rnn";
  operation.inputs = {{"x", {named("x")}},
                      {"initial_h", {floats({1, 2}, {5, 6})}},
                      {"weight_ih", {floats({2, 0}, {})}},
                      {"weight_hh", {floats({2, 2}, std::vector<float>(4, 0.1f))}},
                      {"direction", {text("forward")}}};
  operation.outputs = {{"y", tensor(ElementType::kFloat32, {1, kAny, 2})}};
  function.body.operations.push_back(std::move(operation));
  function.body.outputs = {"y"};
  EXPECT_FALSE(translate(function, {}).ok());
}

TEST_F(EmptyAxesTest, PaddingOfNothingIsPadding) {
  const auto y =
      run("pad",
          {{"x", {named("x")}},
           {"pad", {ints({2}, {1, 2})}},
           {"mode", {text("constant")}},
           {"constant_val", {floats({}, {7})}}},
          {x_of(ElementType::kFloat32, {kAny})}, tensor(ElementType::kFloat32, {kAny}), "CoreML7");
  ASSERT_TRUE(y);
  EXPECT_THAT(*y, ElementsAre(7, 7, 7));
}

TEST_F(EmptyAxesTest, ConcatenationWithNothingIsTheRest) {
  const auto y =
      run("concat", {{"values", {named("x"), floats({2}, {1, 2})}}, {"axis", {ints({}, {0})}}},
          {x_of(ElementType::kFloat32, {kAny})}, tensor(ElementType::kFloat32, {kAny}), "CoreML7");
  ASSERT_TRUE(y);
  EXPECT_THAT(*y, ElementsAre(1, 2));
}

TEST_F(EmptyAxesTest, SuppressionOfNoBoxesGivesNone) {
  const auto y = run("non_maximum_suppression",
                     {{"boxes", {named("x")}},
                      {"scores", {named("s")}},
                      {"iou_threshold", {floats({}, {0.5f})}},
                      {"score_threshold", {floats({}, {0.0f})}},
                      {"max_boxes", {ints({}, {2})}},
                      {"per_class_suppression", {yes()}}},
                     {x_of(ElementType::kFloat32, {1, kAny, 4}),
                      {"s", tensor(ElementType::kFloat32, {1, kAny, 1})}},
                     tensor(ElementType::kFloat32, {1, 2, 4}), "CoreML6");
  ASSERT_TRUE(y);
  EXPECT_THAT(*y, Each(0.0f));
}

TEST_F(EmptyAxesTest, ASampleOfNoClassesIsNothingOfBefore) {
  expect_no_stale_elements(run("random_categorical",
                               {{"x", {named("x")}},
                                {"size", {ints({}, {3})}},
                                {"seed", {ints({}, {1})}},
                                {"mode", {text("logits")}}},
                               {x_of(ElementType::kFloat32, {2, kAny})},
                               tensor(ElementType::kFloat32, {2, 3}), "CoreML6"));
}

TEST_F(EmptyAxesTest, TheLargestOfNothingHasNoIndexOfBefore) {
  expect_no_stale_elements(run("reduce_argmax", {{"x", {named("x")}}, {"axis", {ints({}, {0})}}},
                               {x_of(ElementType::kFloat32, {kAny, 2})},
                               tensor(ElementType::kInt32, {2}), "CoreML6"));
}

TEST_F(EmptyAxesTest, AttentionToNothingIsNothingOfBefore) {
  const auto y = run("scaled_dot_product_attention",
                     {{"query", {named("x")}}, {"key", {named("k")}}, {"value", {named("k")}}},
                     {x_of(ElementType::kFloat32, {1, 1, 3, 4}),
                      {"k", tensor(ElementType::kFloat32, {1, 1, kAny, 4})}},
                     tensor(ElementType::kFloat32, {1, 1, 3, 4}), "CoreML8");
  expect_no_stale_elements(y);
}

TEST_F(EmptyAxesTest, TheFirstOfNothingAreNothingOfBefore) {
  expect_no_stale_elements(run("topk", {{"x", {named("x")}}, {"k", {ints({}, {2})}}},
                               {x_of(ElementType::kFloat32, {kAny})},
                               tensor(ElementType::kFloat32, {2}), "CoreML6"));
  // All of an axis, whatever it has.
  const auto all =
      run("topk", {{"x", {named("x")}}, {"k", {ints({}, {-1})}}},
          {x_of(ElementType::kFloat32, {kAny})}, tensor(ElementType::kFloat32, {kAny}), "CoreML6");
  ASSERT_TRUE(all);
  EXPECT_THAT(*all, ::testing::IsEmpty());
}

TEST_F(EmptyAxesTest, ARecurrenceOfNoStepsIsItsFirstState) {
  const auto y = run("lstm",
                     {{"x", {named("x")}},
                      {"initial_h", {floats({1, 2}, {5, 6})}},
                      {"initial_c", {floats({1, 2}, {7, 8})}},
                      {"weight_ih", {floats({8, 1}, std::vector<float>(8, 0.1f))}},
                      {"weight_hh", {floats({8, 2}, std::vector<float>(16, 0.1f))}},
                      {"direction", {text("forward")}}},
                     {x_of(ElementType::kFloat32, {kAny, 1, 1})},
                     tensor(ElementType::kFloat32, {1, 1, 2}), "CoreML6");
  // There is no last step: an error, or the state that it starts with.
  if (y) EXPECT_THAT(*y, ElementsAre(5, 6));
}

TEST_F(EmptyAxesTest, AnImageOfNothingIsNoImage) {
  const model::Argument size = ints({}, {3});
  for (const char* type : {"resize_bilinear", "resize_nearest_neighbor"}) {
    expect_no_stale_elements(run(
        type, {{"x", {named("x")}}, {"target_size_height", {size}}, {"target_size_width", {size}}},
        {x_of(ElementType::kFloat32, {1, 1, kAny, 4})}, tensor(ElementType::kFloat32, {1, 1, 3, 3}),
        "CoreML6"));
  }
  expect_no_stale_elements(run("crop_resize",
                               {{"x", {named("x")}},
                                {"boxes", {floats({1, 4}, {0, 0, 1, 1})}},
                                {"target_height", {size}},
                                {"target_width", {size}}},
                               {x_of(ElementType::kFloat32, {1, 1, kAny, 4})},
                               tensor(ElementType::kFloat32, {1, 1, 3, 3}), "CoreML7"));
  for (const char* padding : {"constant", "symmetric"}) {
    expect_no_stale_elements(run("resample",
                                 {{"x", {named("x")}},
                                  {"coordinates", {floats({1, 1, 1, 2}, {0, 0})}},
                                  {"sampling_mode", {text("bilinear")}},
                                  {"padding_mode", {text(padding)}},
                                  {"padding_value", {floats({}, {0})}},
                                  {"coordinates_mode", {text("normalized_minus_one_to_one")}},
                                  {"align_corners", {yes()}}},
                                 {x_of(ElementType::kFloat32, {1, 1, kAny, 4})},
                                 tensor(ElementType::kFloat32, {1, 1, 1, 1}), "CoreML7"));
  }
}

TEST_F(EmptyAxesTest, AnUpdateOfNothingLeavesTheRest) {
  const auto y =
      run("slice_update",
          {{"x", {floats({3}, {1, 2, 3})}},
           {"update", {named("x")}},
           {"begin", {ints({1}, {1})}},
           {"end", {ints({1}, {1})}}},
          {x_of(ElementType::kFloat32, {0})}, tensor(ElementType::kFloat32, {3}), "CoreML8");
  ASSERT_TRUE(y);
  EXPECT_THAT(*y, ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
