#ifndef COREML_DELEGATE_RUNTIME_ENGINE_STAGE_TIMER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_STAGE_TIMER_H_

// Tells an EventSink how long a stage of an engine's work took, when it ended in success.

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "runtime/engine/event_sink.h"

namespace coreml_delegate::engine {

// Thread rule: used by the thread that the stage runs on.
class StageTimer {
 public:
  // The stage begins. `events` may be null: then no clock is read.
  StageTimer(EventSink* events, EventKind kind)
      : events_(events), kind_(kind), start_(events != nullptr ? now_ns() : 0) {}
  // The stage has ended. Without this call nothing is told.
  void succeed(const std::string& function) const {
    if (events_ != nullptr) events_->on_timing({kind_, function, {}, start_, now_ns()});
  }

 private:
  EventSink* const events_;
  const EventKind kind_;
  const uint64_t start_;
};

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_STAGE_TIMER_H_
