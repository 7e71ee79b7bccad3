#include "runtime/delegate/error_map.h"

#include "base/logging.h"

namespace coreml_delegate {
namespace {

std::string& last_message() {
  thread_local std::string message;
  return message;
}

}  // namespace

executorch::runtime::Error to_executorch_error(StatusCode code) {
  using executorch::runtime::Error;
  switch (code) {
    case StatusCode::kOk:
      return Error::Ok;
    case StatusCode::kInvalidArgument:
      return Error::InvalidArgument;
    case StatusCode::kNotFound:
      return Error::NotFound;
    case StatusCode::kAlreadyExists:
      return Error::AlreadyLoaded;
    case StatusCode::kCorruptData:
      return Error::InvalidProgram;
    case StatusCode::kUnsupported:
      return Error::NotSupported;
    case StatusCode::kVersionTooNew:
      return Error::DelegateInvalidCompatibility;
    case StatusCode::kFailedPrecondition:
      return Error::InvalidState;
    case StatusCode::kResourceExhausted:
      return Error::OutOfResources;
    case StatusCode::kIoError:
      return Error::AccessFailed;
    // EndOfMethod would read as success to whoever steps through a method.
    case StatusCode::kCancelled:
      return Error::InvalidState;
    // What the stock delegate returns for a prediction that failed.
    case StatusCode::kEngineFailure:
      return Error::DelegateInvalidHandle;
    case StatusCode::kInternal:
      return Error::Internal;
  }
  return Error::Internal;
}

executorch::runtime::Error report(const Status& status) {
  if (status.ok()) return executorch::runtime::Error::Ok;
  last_message() =
      status.to_string() + "; see docs/errors.md#" + std::string(status_code_name(status.code()));
  COREML_DELEGATE_LOG(kError, "CoreMLBackend: %s", last_message().c_str());
  return to_executorch_error(status.code());
}

const std::string& last_error_message() { return last_message(); }

}  // namespace coreml_delegate
