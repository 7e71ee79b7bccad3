#include "base/status.h"

#include <cassert>

namespace coreml_delegate {

struct Status::Rep {
  StatusCode code;
  std::string message;
  std::string artifact;
  Status cause;
};

std::string_view status_code_name(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalidArgument:
      return "invalid_argument";
    case StatusCode::kNotFound:
      return "not_found";
    case StatusCode::kAlreadyExists:
      return "already_exists";
    case StatusCode::kCorruptData:
      return "corrupt_data";
    case StatusCode::kUnsupported:
      return "unsupported";
    case StatusCode::kVersionTooNew:
      return "version_too_new";
    case StatusCode::kFailedPrecondition:
      return "failed_precondition";
    case StatusCode::kResourceExhausted:
      return "resource_exhausted";
    case StatusCode::kIoError:
      return "io_error";
    case StatusCode::kCancelled:
      return "cancelled";
    case StatusCode::kEngineFailure:
      return "engine_failure";
    case StatusCode::kInternal:
      return "internal";
  }
  return "unknown";
}

namespace {
const std::string& empty_string() {
  static const std::string empty;
  return empty;
}
}  // namespace

Status::Status(StatusCode code, std::string message, std::string artifact)
    : rep_(std::make_shared<const Rep>(
          Rep{code, std::move(message), std::move(artifact), Status()})) {
  assert(code != StatusCode::kOk);
}

StatusCode Status::code() const { return rep_ ? rep_->code : StatusCode::kOk; }

const std::string& Status::message() const { return rep_ ? rep_->message : empty_string(); }

const std::string& Status::artifact() const { return rep_ ? rep_->artifact : empty_string(); }

Status Status::cause() const { return rep_ ? rep_->cause : Status(); }

Status Status::annotate(std::string message, std::string artifact) const {
  return annotate_as(code(), std::move(message), std::move(artifact));
}

Status Status::annotate_as(StatusCode code, std::string message, std::string artifact) const {
  if (ok()) return *this;
  Status outer;
  outer.rep_ =
      std::make_shared<const Rep>(Rep{code, std::move(message), std::move(artifact), *this});
  return outer;
}

std::string Status::to_string() const {
  if (ok()) return "ok";
  std::string text(status_code_name(rep_->code));
  for (const Rep* rep = rep_.get(); rep != nullptr; rep = rep->cause.rep_.get()) {
    text += rep == rep_.get() ? ": " : "; because ";
    text += rep->message;
    if (!rep->artifact.empty()) text += " [" + rep->artifact + "]";
  }
  return text;
}

Status invalid_argument(std::string message, std::string artifact) {
  return Status(StatusCode::kInvalidArgument, std::move(message), std::move(artifact));
}
Status not_found(std::string message, std::string artifact) {
  return Status(StatusCode::kNotFound, std::move(message), std::move(artifact));
}
Status already_exists(std::string message, std::string artifact) {
  return Status(StatusCode::kAlreadyExists, std::move(message), std::move(artifact));
}
Status corrupt_data(std::string message, std::string artifact) {
  return Status(StatusCode::kCorruptData, std::move(message), std::move(artifact));
}
Status unsupported(std::string message, std::string artifact) {
  return Status(StatusCode::kUnsupported, std::move(message), std::move(artifact));
}
Status failed_precondition(std::string message, std::string artifact) {
  return Status(StatusCode::kFailedPrecondition, std::move(message), std::move(artifact));
}
Status resource_exhausted(std::string message, std::string artifact) {
  return Status(StatusCode::kResourceExhausted, std::move(message), std::move(artifact));
}
Status io_error(std::string message, std::string artifact) {
  return Status(StatusCode::kIoError, std::move(message), std::move(artifact));
}
Status cancelled(std::string message, std::string artifact) {
  return Status(StatusCode::kCancelled, std::move(message), std::move(artifact));
}
Status engine_failure(std::string message, std::string artifact) {
  return Status(StatusCode::kEngineFailure, std::move(message), std::move(artifact));
}
Status internal_error(std::string message, std::string artifact) {
  return Status(StatusCode::kInternal, std::move(message), std::move(artifact));
}

}  // namespace coreml_delegate
