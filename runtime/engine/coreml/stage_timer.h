#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_STAGE_TIMER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_STAGE_TIMER_H_

// Tells an EventSink how long a stage took, when it ended in success.

#include <chrono>
#include <cstdint>
#include <string>

#include "runtime/engine/event_sink.h"

namespace coreml_delegate::engine::coreml {

// std::chrono::steady_clock, as EventSink wants it.
inline uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

// Thread rule: used by the thread that the stage runs on.
class StageTimer {
 public:
  // The stage begins. `events` may be null: then no clock is read.
  StageTimer(EventSink* events, EventKind kind)
      : events_(events), kind_(kind), start_(events != nullptr ? now_ns() : 0) {}
  void succeed(const std::string& function) const {
    if (events_ != nullptr) events_->on_timing({kind_, function, {}, start_, now_ns()});
  }

 private:
  EventSink* const events_;
  const EventKind kind_;
  const uint64_t start_;
};

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_STAGE_TIMER_H_
