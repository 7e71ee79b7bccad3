#ifndef COREML_DELEGATE_RUNTIME_ENGINE_EVENT_SINK_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_EVENT_SINK_H_

// What an engine tells about its work, to whoever asked: timings of stages and operations, and
// intermediate values.
//
// Thread rule: an engine calls a sink from the thread that called the engine, between the beginning
// and end of that call.

#include <cstdint>
#include <string_view>

#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

enum class EventKind {
  kCompile,    // Translating and compiling a function.
  kLoad,       // Making it ready to execute.
  kExecute,    // One execution, inputs and outputs included.
  kOperation,  // One operation within an execution.
};

struct TimingEvent {
  EventKind kind = EventKind::kExecute;
  // The operation's output name in the model (of operations that the engine fused, the last one's),
  // or the function's name.
  std::string_view name;
  // The operation's type in the model ("conv"), or empty.
  std::string_view type;
  // std::chrono::steady_clock. Of operations, an engine may measure the durations only; they are
  // then laid end to end, in the order of execution, from the beginning of the execution.
  uint64_t start_ns = 0;
  uint64_t end_ns = 0;
};

class EventSink {
 public:
  virtual ~EventSink() = default;

  // Asked once per call; operations cost time to measure, intermediate values far more.
  virtual bool wants_operation_timings() const { return false; }
  virtual bool wants_intermediate_values() const { return false; }

  // Only ever a measurement, never an estimate.
  virtual void on_timing(const TimingEvent& event) = 0;
  // `type` as in TimingEvent. The view is valid during the call.
  virtual void on_intermediate_value(std::string_view name, std::string_view type,
                                     const ConstTensorView& value) {
    (void)name;
    (void)type;
    (void)value;
  }
};

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_EVENT_SINK_H_
