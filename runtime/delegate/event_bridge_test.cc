#include "runtime/delegate/event_bridge.h"

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/testing_support.h"

namespace coreml_delegate {
namespace {

using executorch::runtime::EventTracerDebugLogLevel;
using executorch::runtime::EventTracerProfilingLevel;
using ::testing::ElementsAre;

TEST(EventBridgeTest, WithoutATracerNothingIsWanted) {
  EventBridge bridge(nullptr);
  EXPECT_EQ(bridge.sink(), nullptr);
  EXPECT_FALSE(bridge.wants_operation_timings());
  EXPECT_FALSE(bridge.wants_intermediate_values());
  bridge.on_timing({});
  bridge.on_intermediate_value("x", "", {});
}

TEST(EventBridgeTest, TheTracersLevelsDecideWhatIsMeasured) {
  executorch::runtime::runtime_init();
  testing::RecordingTracer tracer;
  EventBridge bridge(&tracer);
  EXPECT_EQ(bridge.sink(), &bridge);
  EXPECT_TRUE(bridge.wants_operation_timings());
  EXPECT_FALSE(bridge.wants_intermediate_values());
  tracer.set_event_tracer_profiling_level(EventTracerProfilingLevel::kProfileMethodOnly);
  EXPECT_FALSE(bridge.wants_operation_timings());
  tracer.set_event_tracer_debug_level(EventTracerDebugLogLevel::kProgramOutputs);
  EXPECT_FALSE(bridge.wants_intermediate_values());
  tracer.set_event_tracer_debug_level(EventTracerDebugLogLevel::kIntermediateOutputs);
  EXPECT_TRUE(bridge.wants_intermediate_values());
}

TEST(EventBridgeTest, TimingsAreOnTheTracersClock) {
  executorch::runtime::runtime_init();
  testing::RecordingTracer tracer;
  const uint64_t began_before = now_ns();
  const uint64_t ticks_before = executorch::runtime::pal_current_ticks();
  EventBridge bridge(&tracer);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const uint64_t end = now_ns();
  const uint64_t ticks_after = executorch::runtime::pal_current_ticks();
  bridge.on_timing({.kind = engine::EventKind::kOperation,
                    .name = "conv_0",
                    .type = "conv",
                    .start_ns = began_before,
                    .end_ns = end});
  ASSERT_EQ(tracer.events.size(), 1u);
  EXPECT_EQ(tracer.events[0].name, "conv_0:conv");
  EXPECT_EQ(tracer.events[0].metadata, "{\"operatorName\":\"conv\"}");
  // Within what passed between reading the two clocks.
  const et_tick_ratio_t ratio = executorch::runtime::pal_ticks_to_ns_multiplier();
  const double ns_per_tick =
      static_cast<double>(ratio.numerator) / static_cast<double>(ratio.denominator);
  const double slack = 1e6 / ns_per_tick;
  EXPECT_NEAR(static_cast<double>(tracer.events[0].start), static_cast<double>(ticks_before),
              slack);
  EXPECT_NEAR(static_cast<double>(tracer.events[0].end), static_cast<double>(ticks_after), slack);
  const auto duration =
      static_cast<double>(tracer.events[0].end - tracer.events[0].start) * ns_per_tick;
  EXPECT_NEAR(duration, static_cast<double>(end - began_before), 10);
}

TEST(EventBridgeTest, MetadataIsJsonWhateverTheTypeIs) {
  testing::RecordingTracer tracer;
  EventBridge bridge(&tracer);
  const auto metadata_of = [&](std::string_view type) {
    bridge.on_timing({.kind = engine::EventKind::kOperation,
                      .name = "x",
                      .type = type,
                      .start_ns = 1,
                      .end_ns = 2});
    return tracer.events.back().metadata;
  };
  EXPECT_EQ(metadata_of(""), "");
  EXPECT_EQ(metadata_of("ios18.conv"), "{\"operatorName\":\"ios18.conv\"}");
  EXPECT_EQ(metadata_of("a\"b\\c\nd"), "{\"operatorName\":\"abcd\"}");
}

TEST(EventBridgeTest, StagesAreNamed) {
  testing::RecordingTracer tracer;
  EventBridge bridge(&tracer);
  using engine::EventKind;
  for (const EventKind kind :
       {EventKind::kCompile, EventKind::kLoad, EventKind::kExecute, EventKind::kOperation}) {
    bridge.on_timing({.kind = kind, .name = "main", .type = {}, .start_ns = 1, .end_ns = 2});
  }
  EXPECT_THAT(tracer.event_names(),
              ElementsAre("compile main", "load main", "execute main", "main"));
}

TEST(EventBridgeTest, IntermediateValuesArriveRowByRow) {
  testing::RecordingTracer tracer;
  EventBridge bridge(&tracer);
  const std::vector<int32_t> columns = {1, 4, 2, 5, 3, 6};
  const std::vector<int64_t> shape = {2, 3};
  const std::vector<int64_t> by_column = {1, 2};
  const std::vector<int64_t> by_row = {3, 1};
  bridge.on_intermediate_value("h", "relu", {DataType::kInt32, shape, by_column, columns.data()});
  bridge.on_intermediate_value("g", "", {DataType::kInt32, shape, by_row, columns.data()});
  bridge.on_intermediate_value("unknown", "", {DataType::kInvalid, shape, by_row, columns.data()});
  ASSERT_EQ(tracer.values.size(), 2u);
  EXPECT_EQ(tracer.values[0].name, "h:relu");
  EXPECT_THAT(tracer.values[0].sizes, ElementsAre(2, 3));
  std::vector<int32_t> rows(6);
  ASSERT_EQ(tracer.values[0].bytes.size(), 24u);
  std::memcpy(rows.data(), tracer.values[0].bytes.data(), 24);
  EXPECT_THAT(rows, ElementsAre(1, 2, 3, 4, 5, 6));
  std::memcpy(rows.data(), tracer.values[1].bytes.data(), 24);
  EXPECT_THAT(rows, ElementsAre(1, 4, 2, 5, 3, 6));
}

// ETDump refuses a float16 tensor and then corrupts the heap: found in the runner, with glibc's
// "corrupted size vs. prev_size" some executions later.
TEST(EventBridgeTest, EtdumpTakesValuesOfEveryType) {
  executorch::runtime::runtime_init();
  const std::vector<int64_t> shape = {2, 3};
  const std::vector<int64_t> strides = {3, 1};
  const std::vector<uint64_t> zeros(6);
  for (int number = 1; number <= static_cast<int>(DataType::kFloat64); ++number) {
    const auto dtype = static_cast<DataType>(number);
    executorch::etdump::ETDumpGen tracer;
    tracer.create_event_block("block");
    std::vector<uint8_t> buffer(4096);
    ASSERT_TRUE(tracer.set_debug_buffer({buffer.data(), buffer.size()}).ok());
    EventBridge bridge(&tracer);
    bridge.on_intermediate_value("h", "", {dtype, shape, strides, zeros.data()});
    const size_t size = dtype == DataType::kFloat16 ? 4 : data_type_size(dtype);
    EXPECT_GE(tracer.get_data_sink()->get_used_bytes(), 6 * size) << data_type_name(dtype);
  }
}

TEST(EventBridgeTest, Float16ValuesArriveAsFloat32) {
  testing::RecordingTracer tracer;
  EventBridge bridge(&tracer);
  const std::vector<uint16_t> halves = {0x3c00, 0xc100, 0x7c00};  // 1, -2.5, infinity
  const std::vector<int64_t> shape = {3};
  const std::vector<int64_t> strides = {1};
  bridge.on_intermediate_value("h", "", {DataType::kFloat16, shape, strides, halves.data()});
  ASSERT_EQ(tracer.values.size(), 1u);
  std::vector<float> values(3);
  ASSERT_EQ(tracer.values[0].bytes.size(), 12u);
  std::memcpy(values.data(), tracer.values[0].bytes.data(), 12);
  EXPECT_THAT(values, ElementsAre(1, -2.5f, std::numeric_limits<float>::infinity()));
}

TEST(EventBridgeTest, ATracerThatTakesNoMoreValuesDoesNotFailTheExecution) {
  testing::RecordingTracer tracer;
  tracer.refuses_values = true;
  EventBridge bridge(&tracer);
  const float value = 1;
  bridge.on_intermediate_value("h", "", {DataType::kFloat32, {}, {}, &value});
  bridge.on_intermediate_value("g", "", {DataType::kFloat32, {}, {}, &value});
  EXPECT_TRUE(tracer.values.empty());
}

}  // namespace
}  // namespace coreml_delegate
