// Functions with states.

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "base/bytes.h"
#include "runtime/engine/cts/engine_cts.h"

namespace coreml_delegate::engine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

// total = acc += x, of four float16.
Status push(Model& model, State* state, double x, std::vector<double>* total = nullptr) {
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
  const Status status =
      execute(model, {make_tensor(DataType::kFloat16, {4}, std::vector<double>(4, x))}, outputs,
              {.state = state, .events = nullptr});
  if (status.ok() && total != nullptr) *total = outputs[0].numbers();
  return status;
}

class WithState {
 public:
  explicit WithState(std::unique_ptr<Model> model) : model(std::move(model)) {
    if (this->model == nullptr) return;
    Result<std::unique_ptr<State>> made = this->model->make_state();
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    if (made.ok()) state = *std::move(made);
  }
  std::unique_ptr<Model> model;
  std::unique_ptr<State> state;
};

TEST_P(EngineTest, StateStartsAtZeroAndIsKept) {
  WithState s(load("state"));
  ASSERT_NE(s.state, nullptr);
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(0));
  std::vector<double> total;
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(push(*s.model, s.state.get(), 2, &total).ok());
    EXPECT_THAT(total, Each(2 * i));
    EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(2 * i));
  }
}

TEST_P(EngineTest, StatesAreIndependent) {
  WithState s(load("state"));
  ASSERT_NE(s.state, nullptr);
  const std::unique_ptr<State> other = *s.model->make_state();
  ASSERT_TRUE(push(*s.model, s.state.get(), 1).ok());
  ASSERT_TRUE(push(*s.model, other.get(), 10).ok());
  ASSERT_TRUE(push(*s.model, s.state.get(), 1).ok());
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(2));
  EXPECT_THAT(read_state(*other, *s.model, "acc"), Each(10));
}

// The stock exporter drops a buffer's initial value: on the device it starts at zero.
TEST_P(EngineTest, InitialValuesAndReset) {
  WithState s(load("state"));
  ASSERT_NE(s.model, nullptr);
  const std::vector<std::byte> initial = make_bytes(DataType::kFloat16, {1, 2, 3, 4});
  const InitialStateValue values[] = {{"acc", Bytes(initial)}};
  Result<std::unique_ptr<State>> state = s.model->make_state(values);
  ASSERT_TRUE(state.ok()) << state.status().to_string();
  EXPECT_THAT(read_state(**state, *s.model, "acc"), ElementsAre(1, 2, 3, 4));
  ASSERT_TRUE(push(*s.model, state->get(), 1).ok());
  EXPECT_THAT(read_state(**state, *s.model, "acc"), ElementsAre(2, 3, 4, 5));
  ASSERT_TRUE((*state)->reset().ok());
  EXPECT_THAT(read_state(**state, *s.model, "acc"), ElementsAre(1, 2, 3, 4));

  ASSERT_TRUE(push(*s.model, s.state.get(), 1).ok());
  ASSERT_TRUE(s.state->reset().ok());
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(0));
}

TEST_P(EngineTest, InitialValuesAreChecked) {
  const std::unique_ptr<Model> model = load("state");
  ASSERT_NE(model, nullptr);
  const std::vector<std::byte> bytes(8);
  const InitialStateValue unknown[] = {{"ghost", Bytes(bytes)}};
  EXPECT_TRUE(fails_with(model->make_state(unknown).status(), StatusCode::kNotFound, "ghost"));
  const InitialStateValue small[] = {{"acc", Bytes(ByteSpan(bytes).first(6))}};
  EXPECT_TRUE(fails_with(model->make_state(small).status(), StatusCode::kInvalidArgument, "acc"));
}

TEST_P(EngineTest, WritesAndReads) {
  WithState s(load("state"));
  ASSERT_NE(s.state, nullptr);
  // Values that only a half holds exactly, its extremes included.
  const std::vector<std::byte> value = make_bytes(DataType::kFloat16, {0.5, -65504, 0x1p-24, 100});
  ASSERT_TRUE(s.state->write("acc", value).ok());
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), ElementsAre(0.5, -65504, 0x1p-24, 100));
  std::vector<double> total;
  ASSERT_TRUE(push(*s.model, s.state.get(), 0, &total).ok());
  EXPECT_THAT(total, ElementsAre(0.5, -65504, 0x1p-24, 100));

  std::vector<std::byte> bytes(8);
  EXPECT_TRUE(fails_with(s.state->write("ghost", bytes), StatusCode::kNotFound, "acc"));
  EXPECT_TRUE(fails_with(s.state->read("ghost", bytes), StatusCode::kNotFound, "acc"));
  EXPECT_TRUE(fails_with(s.state->write("acc", ByteSpan(bytes).first(7)),
                         StatusCode::kInvalidArgument, ""));
  EXPECT_TRUE(fails_with(s.state->read("acc", std::span(bytes).first(6)),
                         StatusCode::kInvalidArgument, ""));
  bytes.resize(16);
  EXPECT_TRUE(fails_with(s.state->read("acc", bytes), StatusCode::kInvalidArgument, ""));
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), ElementsAre(0.5, -65504, 0x1p-24, 100));
}

TEST_P(EngineTest, Copies) {
  WithState s(load("state"));
  ASSERT_NE(s.state, nullptr);
  ASSERT_TRUE(push(*s.model, s.state.get(), 3).ok());
  Result<std::unique_ptr<State>> copy = s.state->copy();
  ASSERT_TRUE(copy.ok()) << copy.status().to_string();
  ASSERT_TRUE(push(*s.model, copy->get(), 1).ok());
  EXPECT_THAT(read_state(**copy, *s.model, "acc"), Each(4));
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(3));
  // It outlives what it was copied from, and goes back to the same beginning.
  s.state.reset();
  ASSERT_TRUE(push(*s.model, copy->get(), 1).ok());
  EXPECT_THAT(read_state(**copy, *s.model, "acc"), Each(5));
  ASSERT_TRUE((*copy)->reset().ok());
  EXPECT_THAT(read_state(**copy, *s.model, "acc"), Each(0));
}

TEST_P(EngineTest, TheStateMustBeThereWhenThereAreStates) {
  WithState s(load("state"));
  ASSERT_NE(s.state, nullptr);
  EXPECT_TRUE(fails_with(push(*s.model, nullptr, 1), StatusCode::kInvalidArgument, "state"));
  const std::unique_ptr<Model> without = load("add");
  ASSERT_NE(without, nullptr);
  const Tensor x = make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, 1));
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  EXPECT_TRUE(
      fails_with(execute(*without, {x, x}, outputs, {.state = s.state.get(), .events = nullptr}),
                 StatusCode::kInvalidArgument, "state"));
  EXPECT_TRUE(is_untouched(outputs[0]));
  EXPECT_TRUE(fails_with(without->make_state().status(), StatusCode::kFailedPrecondition, ""));
}

// Retried stateful predictions applied their update twice.
TEST_P(EngineTest, AFailedExecutionLeavesTheStateAsItWas) {
  WithState s(load("state_range"));
  ASSERT_NE(s.state, nullptr);
  const std::vector<Tensor> inputs = {
      make_tensor(DataType::kFloat16, {4}, std::vector<double>(4, 1)),
      make_tensor(DataType::kFloat32, {5}, std::vector<double>(5, 2))};
  const ExecuteOptions options{.state = s.state.get(), .events = nullptr};
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4}),
                                 make_output(DataType::kFloat32, {5})};
  ASSERT_TRUE(execute(*s.model, inputs, outputs, options).ok());
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(1));

  outputs = {make_output(DataType::kFloat16, {4}), make_output(DataType::kFloat32, {4})};
  EXPECT_TRUE(fails_with(execute(*s.model, inputs, outputs, options), StatusCode::kInvalidArgument,
                         "twice"));
  EXPECT_TRUE(is_untouched(outputs[0]));
  EXPECT_TRUE(is_untouched(outputs[1]));
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(1));

  outputs = {make_output(DataType::kFloat16, {4}), make_output(DataType::kFloat32, {8})};
  ASSERT_TRUE(execute(*s.model, inputs, outputs, options).ok());
  EXPECT_THAT(outputs[0].numbers(), Each(2));
  EXPECT_THAT(outputs[1].shape, ElementsAre(5));
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(2));
}

// One execution at a time: another is refused or comes after, and each that succeeds counts once.
TEST_P(EngineTest, OneStateFromSeveralThreads) {
  WithState s(load("state"));
  ASSERT_NE(s.state, nullptr);
  std::atomic<int> succeeded{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const Status status = push(*s.model, s.state.get(), 1);
        if (status.ok()) {
          ++succeeded;
        } else if (status.code() != StatusCode::kFailedPrecondition) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(succeeded, 0);
  EXPECT_THAT(read_state(*s.state, *s.model, "acc"), Each(succeeded.load()));
}

TEST_P(EngineTest, StatesOfSeveralThreads) {
  const std::unique_ptr<Model> model = load("state");
  ASSERT_NE(model, nullptr);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t) {
    threads.emplace_back([&, t] {
      const std::unique_ptr<State> state = *model->make_state();
      for (int i = 0; i < 100; ++i) wrong += push(*model, state.get(), t).ok() ? 0 : 1;
      for (const double value : read_state(*state, *model, "acc")) {
        wrong += value == 100.0 * t ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace coreml_delegate::engine
