#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_EDGE_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_EDGE_H_

// Where calls come in from ExecuTorch and from C. Neither expects an exception: ExecuTorch is often
// built without them, and a C frame cannot be unwound. Inside, failures are Status values, but
// memory may run out anywhere.
//
//   Error Backend::destroy(Handle* handle) const {
//     return at_the_edge("destroy the method", [&] { return let_go(handle); });
//   }
//
// Thread rule: functions that may be called from several threads at once.

#include <executorch/runtime/core/error.h>

#include <concepts>
#include <utility>

namespace coreml_delegate {

// Inside a catch: reports the exception as a failure to do what `doing` says.
// MemoryAllocationFailed where memory ran out, else Internal.
executorch::runtime::Error report_exception(const char* doing) noexcept;

// What `body` returns, or the error that stands for its exception. For bodies whose result can be
// made of an Error: that, executorch::runtime::Result, or a number.
template <typename Body>
auto at_the_edge(const char* doing, Body body) noexcept -> decltype(body()) {
  using Answer = decltype(body());
  try {
    return body();
  } catch (...) {
    const executorch::runtime::Error error = report_exception(doing);
    if constexpr (std::integral<Answer>) {
      return static_cast<Answer>(error);
    } else {
      return Answer(error);
    }
  }
}

// The same for a body with nothing to report with: what it returns, or `otherwise`.
template <typename Body, typename Answer>
Answer at_the_edge(const char* doing, Body body, Answer otherwise) noexcept {
  try {
    return body();
  } catch (...) {
    report_exception(doing);
    return otherwise;
  }
}

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_EDGE_H_
