#ifndef COREML_DELEGATE_BASE_CLOCK_H_
#define COREML_DELEGATE_BASE_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace coreml_delegate {

// Nanoseconds of std::chrono::steady_clock: what timings are measured with. Never goes back; since
// when it counts is the system's own business.
inline uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_CLOCK_H_
