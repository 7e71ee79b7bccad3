#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_EVENT_BRIDGE_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_EVENT_BRIDGE_H_

// Hands an engine's measurements to ExecuTorch's event tracer as delegate events: operations as
// "OUTPUT:TYPE", the symbols by which both exporters' debug maps know them, so that ExecuTorch's
// Inspector finds their debug handles; stages as "compile NAME", "load NAME" and "execute NAME".
// What an engine added by itself has its own name, and no type. The type is in the event's
// metadata, as JSON: {"operatorName": TYPE}. Nothing but what the engine measured is passed on.
// float16 values arrive as float32, which ETDump can hold.
//
// Thread rule: one thread, during one call.

#include <executorch/runtime/core/event_tracer.h>

#include <cstdint>
#include <string_view>

#include "runtime/engine/event_sink.h"

namespace coreml_delegate {

class EventBridge : public engine::EventSink {
 public:
  // `tracer` is borrowed; null: nothing is wanted and nothing passed on.
  explicit EventBridge(executorch::runtime::EventTracer* tracer);

  // What to hand to an engine: null without a tracer, so that nothing is measured.
  engine::EventSink* sink() { return tracer_ ? this : nullptr; }

  bool wants_operation_timings() const override;
  bool wants_intermediate_values() const override;
  void on_timing(const engine::TimingEvent& event) override;
  void on_intermediate_value(std::string_view name, std::string_view type,
                             const engine::ConstTensorView& value) override;

 private:
  uint64_t to_ticks(uint64_t steady_ns) const;

  executorch::runtime::EventTracer* const tracer_;
  // One moment on both clocks.
  uint64_t reference_ns_ = 0;
  uint64_t reference_ticks_ = 0;
  // Nanoseconds of a tick, as a fraction.
  uint64_t numerator_ = 1;
  uint64_t denominator_ = 1;
  bool reported_loss_ = false;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_EVENT_BRIDGE_H_
