#include "runtime/engine/call_checks.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Extents = std::vector<int64_t>;

FunctionDescription function() {
  FunctionDescription description;
  description.name = "main";
  description.inputs = {{.name = "x",
                         .dtype = DataType::kFloat32,
                         .shape = {{2, 2}, {1, Dimension::kUnbounded}},
                         .enumerated_shapes = {}}};
  description.outputs = {{.name = "y",
                          .dtype = DataType::kFloat16,
                          .shape = {{2, 2}, {1, 3}},
                          .enumerated_shapes = {}}};
  return description;
}

class NoState : public State {
 public:
  Status reset() override { return {}; }
  Status read(std::string_view, std::span<std::byte>) const override { return {}; }
  Status write(std::string_view, ByteSpan) override { return {}; }
  Result<std::unique_ptr<State>> copy() const override { return unsupported("no copy"); }
};

class CallChecksTest : public ::testing::Test {
 protected:
  std::string input(const Extents& shape, const Extents& strides = {},
                    Layouts layouts = Layouts::kContiguous, DataType dtype = DataType::kFloat32,
                    bool has_data = true) {
    const ConstTensorView view{
        .dtype = dtype, .shape = shape, .strides = strides, .data = has_data ? &byte_ : nullptr};
    return check_inputs(function_, layouts, {&view, 1}).to_string();
  }
  std::string output(Extents shape, const Extents& strides = {},
                     Layouts layouts = Layouts::kContiguous, DataType dtype = DataType::kFloat16) {
    const TensorView view{
        .dtype = dtype, .shape = shape, .strides = strides, .data = &byte_, .capacity = 12};
    return check_outputs(function_, layouts, {&view, 1}).to_string();
  }
  // Leaves the shape that was written in `shape_`.
  Status capacity(const Extents& extents, size_t bytes, const Extents& strides = {}) {
    TensorView view{.dtype = DataType::kFloat16,
                    .shape = shape_,
                    .strides = strides,
                    .data = &byte_,
                    .capacity = bytes};
    return check_capacity(function_, 0, extents, &view);
  }

  const FunctionDescription function_ = function();
  const std::string fine_ = Status().to_string();
  char byte_ = 0;
  Extents shape_ = {2, 3};
};

TEST_F(CallChecksTest, WhatFitsIsTaken) {
  EXPECT_EQ(input({2, 3}), fine_);
  EXPECT_EQ(input({2, 3}, {3, 1}), fine_);
  EXPECT_EQ(input({2, 1}, {1, 77}), fine_) << "the stride of an extent of 1 means nothing";
  EXPECT_EQ(input({2, 3}, {1, 2}, Layouts::kDisjoint), fine_) << "transposed";
  EXPECT_EQ(output({2, 3}), fine_);
  EXPECT_EQ(output({2, 3}, {1, 2}, Layouts::kDisjoint), fine_);
}

TEST_F(CallChecksTest, InputsAreRefusedWithTheReason) {
  EXPECT_EQ(input({2, 3}, {}, Layouts::kContiguous, DataType::kInt32),
            "invalid_argument: input 0: the tensor's element type is int32 [x: float32[2, 1..]]");
  EXPECT_THAT(input({3, 3}), HasSubstr("input 0: the tensor's shape [3, 3] is not allowed"));
  EXPECT_THAT(input({2, 3}, {1, 2}), HasSubstr("the tensor's strides [1, 2] are not contiguous"));
  EXPECT_THAT(input({2, 3}, {2, 1}, Layouts::kDisjoint),
              HasSubstr("the tensor's strides [2, 1] make elements overlap"));
  EXPECT_THAT(input({2, std::numeric_limits<int64_t>::max()}), HasSubstr("has too many bytes"));
  EXPECT_THAT(input({2, 3}, {}, Layouts::kContiguous, DataType::kFloat32, false),
              HasSubstr("the tensor has no data"));
  EXPECT_EQ(check_inputs(function_, Layouts::kContiguous, {}).to_string(),
            "invalid_argument: the function takes 1 inputs, and the call has 0 [main]");
}

TEST_F(CallChecksTest, OutputsAreRefusedWithTheReason) {
  EXPECT_THAT(output({2, 3}, {}, Layouts::kContiguous, DataType::kFloat32),
              HasSubstr("output 0: the tensor's element type is float32"));
  EXPECT_THAT(output({2}), HasSubstr("output 0: the tensor's shape [2] has another rank"));
  EXPECT_THAT(output({2, 3}, {1, 2}), HasSubstr("are not contiguous"));
  EXPECT_THAT(output({2, 3}, {0, 1}, Layouts::kDisjoint), HasSubstr("make elements overlap"));
  EXPECT_EQ(check_outputs(function_, Layouts::kContiguous, {}).to_string(),
            "invalid_argument: the function returns 1 outputs, and the call has 0 [main]");
}

TEST_F(CallChecksTest, ResultsAreHeldToTheMemoryThatTheyGet) {
  EXPECT_TRUE(capacity({2, 2}, 8).ok());
  EXPECT_THAT(shape_, ElementsAre(2, 2)) << "what is written";
  const Status small = capacity({2, 3}, 11);
  EXPECT_EQ(small.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(small.to_string(),
              HasSubstr("output 0: the result of shape [2, 3] does not fit the tensor's 11 bytes"));
  EXPECT_THAT(shape_, ElementsAre(2, 3)) << "what is needed";
}

TEST_F(CallChecksTest, ALayoutIsForItsShape) {
  EXPECT_TRUE(capacity({2, 3}, 22, {8, 1}).ok()) << "11 elements from the first to the last";
  EXPECT_FALSE(capacity({2, 3}, 20, {8, 1}).ok());
  EXPECT_THAT(capacity({2, 2}, 22, {8, 1}).to_string(),
              HasSubstr("the tensor is laid out for [2, 3], but the result is [2, 2]"));
}

TEST_F(CallChecksTest, AnotherRankIsTheEnginesFault) {
  const Status status = capacity({6}, 12);
  EXPECT_EQ(status.code(), StatusCode::kEngineFailure);
  EXPECT_THAT(status.to_string(), HasSubstr("the engine returned a result of another rank: [6]"));
}

TEST_F(CallChecksTest, AStateIsPassedWhereThereAreStates) {
  NoState state;
  FunctionDescription with_states = function_;
  with_states.states = function_.inputs;
  EXPECT_TRUE(check_has_state(function_, nullptr).ok());
  EXPECT_TRUE(check_has_state(with_states, &state).ok());
  EXPECT_THAT(check_has_state(function_, &state).to_string(),
              HasSubstr("a state was passed, but the function has none"));
  EXPECT_THAT(check_has_state(with_states, nullptr).to_string(),
              HasSubstr("pass a state that make_state() returned"));
}

}  // namespace
}  // namespace coreml_delegate::engine
