#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_ERROR_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_ERROR_H_

// How a handler of the translator gives up. Inside runtime/engine/portable only: translate()
// catches it and returns its Status.

#include <exception>
#include <string>
#include <utility>

#include "base/status.h"

namespace coreml_delegate::engine::portable {

class OpError : public std::exception {
 public:
  explicit OpError(Status status) : status_(std::move(status)), text_(status_.to_string()) {}

  const Status& status() const { return status_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Status status_;
  std::string text_;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_ERROR_H_
