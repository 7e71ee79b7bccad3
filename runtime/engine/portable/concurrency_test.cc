// The engine's own parts used by several threads at once: the pool of requests, states, the graphs
// that are loaded on demand, shared weights, and the nodes that compute in OpenVINO's place. Values
// are right in every build; --config=tsan also looks for races, of ours alone
// (third-party/openvino/race_suppressions.cc).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/sha256.h"
#include "openvino/op/constant.hpp"
#include "openvino/op/parameter.hpp"
#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/portable/exact_arithmetic.h"
#include "runtime/engine/portable/exact_reduce.h"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/integer_matmul.h"
#include "runtime/engine/portable/portable_engine.h"
#include "runtime/engine/portable/round_to_half.h"
#include "runtime/engine/portable/shared_weights.h"
#include "runtime/engine/portable/softplus.h"

namespace coreml_delegate::engine::portable {
namespace {

using ::testing::Each;

constexpr int kThreads = 8;
constexpr int kRounds = 20;

// Runs `work` with the numbers 0 to kThreads - 1, all at once.
void in_threads(const std::function<void(int)>& work) {
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      work(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class Counter : public EventSink {
 public:
  bool wants_operation_timings() const override { return true; }
  void on_timing(const TimingEvent& event) override {
    if (event.kind == EventKind::kOperation && event.type == "add") ++additions;
  }
  int additions = 0;
};

class ConcurrencyTest : public ::testing::Test {
 protected:
  std::unique_ptr<Model> load(const std::string& name) {
    const inmemoryfs::InMemoryFileSystem files = read_test_model(name);
    Result<std::unique_ptr<Model>> model =
        engine_->load_source({ModelKind::kPackage, &files, name}, LoadOptions{.threads = 1});
    EXPECT_TRUE(model.ok()) << model.status().to_string();
    return model.ok() ? *std::move(model) : nullptr;
  }

  const std::unique_ptr<Engine> engine_ = make_portable_engine();
};

// x + y for numbers that tell the thread and the round.
void add(Model& model, int thread, int round, const ExecuteOptions& options = {}) {
  std::vector<Tensor> outputs = {make_output(DataType::kFloat32, {2, 3})};
  const auto filled = [](double value) {
    return make_tensor(DataType::kFloat32, {2, 3}, std::vector<double>(6, value));
  };
  const Status status = execute(model, {filled(thread), filled(1000.0 * round)}, outputs, options);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(outputs[0].numbers(), Each(thread + 1000.0 * round));
}

TEST_F(ConcurrencyTest, EachExecutionHasARequestOfItsOwn) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  in_threads([&](int thread) {
    for (int round = 0; round < kRounds; ++round) add(*model, thread, round);
  });
}

TEST_F(ConcurrencyTest, TheProfiledGraphIsLoadedOnceAndByWhoeverComesFirst) {
  const std::unique_ptr<Model> model = load("add");
  ASSERT_NE(model, nullptr);
  in_threads([&](int thread) {
    Counter events;
    const bool measures = thread % 2 == 0;
    for (int round = 0; round < kRounds; ++round) {
      add(*model, thread, round, {.state = nullptr, .events = measures ? &events : nullptr});
    }
    // Each one, however short: most of these take less than a microsecond.
    EXPECT_EQ(events.additions, measures ? kRounds : 0);
  });
}

// total = acc += x, of four float16.
Status push(Model& model, State& state, double x, std::vector<double>* total = nullptr) {
  std::vector<Tensor> outputs = {make_output(DataType::kFloat16, {4})};
  const Tensor input = make_tensor(DataType::kFloat16, {4}, std::vector<double>(4, x));
  const Status status = execute(model, {input}, outputs, {.state = &state, .events = nullptr});
  if (status.ok() && total != nullptr) *total = outputs[0].numbers();
  return status;
}

TEST_F(ConcurrencyTest, StatesOfOneModelDoNotMeet) {
  const std::unique_ptr<Model> model = load("state");
  ASSERT_NE(model, nullptr);
  in_threads([&](int thread) {
    const std::unique_ptr<State> state = *model->make_state();
    std::vector<double> total;
    for (int round = 0; round < kRounds; ++round) {
      ASSERT_TRUE(push(*model, *state, thread, &total).ok());
    }
    EXPECT_THAT(total, Each(thread * kRounds));
  });
}

TEST_F(ConcurrencyTest, AStateBelongsToOneExecutionAtATime) {
  const std::unique_ptr<Model> model = load("state");
  ASSERT_NE(model, nullptr);
  const std::unique_ptr<State> state = *model->make_state();
  std::atomic<int> pushed = 0;
  in_threads([&](int) {
    for (int round = 0; round < kRounds; ++round) {
      const Status status = push(*model, *state, 1);
      if (status.ok()) {
        ++pushed;
      } else {
        EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status.to_string();
      }
    }
  });
  EXPECT_GT(pushed, 0);
  std::vector<std::byte> values(8);
  ASSERT_TRUE(state->read("acc", values).ok());
  EXPECT_EQ(values, make_bytes(DataType::kFloat16, std::vector<double>(4, pushed)));
}

TEST_F(ConcurrencyTest, ModelsAreLoadedAndLetGo) {
  const inmemoryfs::InMemoryFileSystem files = read_test_model("add");
  const TemporaryFolder folder;
  ASSERT_TRUE(engine_->compile({ModelKind::kPackage, &files, "add"}, folder.path(), {}).ok());
  in_threads([&](int thread) {
    for (int round = 0; round < 2; ++round) {
      const Result<std::unique_ptr<Model>> model =
          thread % 2 == 0 ? engine_->load(folder.path(), LoadOptions{.threads = 1})
                          : engine_->load_source({ModelKind::kPackage, &files, "add"},
                                                 LoadOptions{.threads = 1});
      ASSERT_TRUE(model.ok()) << model.status().to_string();
      add(**model, thread, round);
    }
  });
}

TEST(SharedWeightsConcurrencyTest, EqualWeightsAreOneAsLongAsSomebodyHasThem) {
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Bytes> kept(kThreads);
    in_threads([&](int thread) {
      auto own = std::make_shared<std::vector<std::byte>>(256, std::byte{7});
      const Bytes bytes(ByteSpan(*own), own);
      kept[static_cast<size_t>(thread)] =
          share_weight("concurrency", to_hex(sha256(bytes.span())), bytes);
    });
    for (const Bytes& bytes : kept) {
      ASSERT_EQ(bytes.size(), 256u);
      EXPECT_EQ(bytes.data(), kept[0].data());
      EXPECT_EQ(bytes.data()[255], std::byte{7});
    }
  }
}

std::shared_ptr<ov::op::v0::Parameter> parameter(const ov::element::Type& type,
                                                 const ov::PartialShape& shape) {
  return std::make_shared<ov::op::v0::Parameter>(type, shape);
}

ov::Tensor filled(const ov::element::Type& type, const ov::Shape& shape, int value) {
  ov::Tensor tensor(type, shape);
  for (size_t i = 0; i < tensor.get_size(); ++i) {
    if (type == ov::element::i32) {
      tensor.data<int32_t>()[i] = value;
    } else {
      tensor.data<float>()[i] = static_cast<float>(value);
    }
  }
  return tensor;
}

// Evaluates one node with inputs filled with 1 to kThreads; every element is expected(value).
void evaluate_at_once(const ov::Node& node, const std::function<double(int)>& expected) {
  in_threads([&](int thread) {
    const int value = thread + 1;
    ov::TensorVector inputs;
    for (size_t i = 0; i < node.get_input_size(); ++i) {
      const ov::element::Type type = node.get_input_element_type(i);
      inputs.push_back(filled(type, {2, 3, 3}, value));
    }
    for (int round = 0; round < kRounds; ++round) {
      ov::TensorVector outputs = {ov::Tensor(node.get_output_element_type(0), {2, 3, 3})};
      ASSERT_TRUE(node.evaluate(outputs, inputs));
      for (size_t i = 0; i < outputs[0].get_size(); ++i) {
        const double number = outputs[0].get_element_type() == ov::element::i32
                                  ? outputs[0].data<int32_t>()[i]
                                  : static_cast<double>(outputs[0].data<float>()[i]);
        ASSERT_NEAR(number, expected(value), 1e-3) << node.get_type_name();
      }
    }
  });
}

TEST(NodesConcurrencyTest, OneNodeComputesForSeveralThreads) {
  const auto integers = parameter(ov::element::i32, {-1, -1, -1});
  const auto floats = parameter(ov::element::f32, {-1, -1, -1});
  evaluate_at_once(IntegerMatMul(integers, integers), [](int value) { return 3 * value * value; });
  evaluate_at_once(ExactArithmetic(integers, integers, ExactKind::kPower),
                   [](int value) { return std::pow(value, value); });
  evaluate_at_once(ExactReduce(integers, ReduceKind::kSum, {2}, /*keep_dims=*/true),
                   [](int value) { return 3 * value; });
  evaluate_at_once(ExactReduce(floats, ReduceKind::kSum, {1, 2}, /*keep_dims=*/true),
                   [](int value) { return 9 * value; });
  evaluate_at_once(Softplus(floats), [](int value) { return std::log1p(std::exp(value)); });
  evaluate_at_once(RoundToHalf(floats), [](int value) { return value; });
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
