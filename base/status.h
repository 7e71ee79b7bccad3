#ifndef COREML_DELEGATE_BASE_STATUS_H_
#define COREML_DELEGATE_BASE_STATUS_H_

// Status: the outcome of an operation that can fail. A failed Status has a code for programs, a
// message for people, the artifact the failure is about (a path, a file of a blob, an operation of
// a model) and, where one failure led to another, its cause. Result<T> is a Status or a value.
//
// Thread rule: values; a Status may be copied and read from any thread. Copying never allocates.
//
//   Result<Package> package = Package::open(tree);
//   if (!package.ok()) return package.status().annotate("load model", path);
//   use(*package);

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace coreml_delegate {

// What kind of failure. A caller branches on the code, never on the message. docs/errors.md has an
// anchor for each.
enum class StatusCode : int32_t {
  kOk = 0,
  // The caller broke a documented precondition: wrong dtype, shape, count, option. Retrying
  // unchanged is of no use.
  kInvalidArgument = 1,
  // A named thing (function, file, key) is not there.
  kNotFound = 2,
  // A thing that must be new is already there.
  kAlreadyExists = 3,
  // Bytes of an artifact break the rules of its format: damaged or hostile input. The artifact must
  // be replaced.
  kCorruptData = 4,
  // The artifact is well formed but needs something this build, engine or platform does not have.
  kUnsupported = 5,
  // The artifact was written by a newer major version of its format; upgrading this library helps.
  kVersionTooNew = 6,
  // The object is not in a state in which the call is allowed (a state in use, a model being
  // unloaded).
  kFailedPrecondition = 7,
  // Memory, disk space, file handles or a configured limit ran out.
  kResourceExhausted = 8,
  // The operating system refused or failed a file operation.
  kIoError = 9,
  // The caller asked for the operation to be stopped.
  kCancelled = 10,
  // The engine (OpenVINO, Core ML) failed in a way that none of the above describes.
  kEngineFailure = 11,
  // A fault of this library.
  kInternal = 12,
};

// The code's stable lower-case name, as in docs/errors.md ("corrupt_data").
std::string_view status_code_name(StatusCode code);

class [[nodiscard]] Status {
 public:
  // Success.
  Status() = default;
  // A failure. `code` must not be kOk. `artifact` may be empty where the message has no subject.
  Status(StatusCode code, std::string message, std::string artifact = {});

  static Status ok_status() { return Status(); }

  bool ok() const { return rep_ == nullptr; }
  StatusCode code() const;
  // What failed, why and what to do; without the artifact and the cause. Empty on success.
  const std::string& message() const;
  // The path, file, function, tensor or operation the failure is about; may be empty.
  const std::string& artifact() const;
  // The failure that led to this one; success where there is none.
  Status cause() const;

  // A failure of the same code that says what was being done to which artifact, with this one as
  // its cause. Success stays success.
  Status annotate(std::string message, std::string artifact = {}) const;
  // The same with another code, where the caller knows better what kind of failure it is.
  Status annotate_as(StatusCode code, std::string message, std::string artifact = {}) const;

  // One line for logs: "corrupt_data: <message> [<artifact>]; because ...". "ok" on success.
  std::string to_string() const;

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;  // Null on success.
};

// Failures by code. `artifact` as in Status.
Status invalid_argument(std::string message, std::string artifact = {});
Status not_found(std::string message, std::string artifact = {});
Status already_exists(std::string message, std::string artifact = {});
Status corrupt_data(std::string message, std::string artifact = {});
Status unsupported(std::string message, std::string artifact = {});
Status failed_precondition(std::string message, std::string artifact = {});
Status resource_exhausted(std::string message, std::string artifact = {});
Status io_error(std::string message, std::string artifact = {});
Status cancelled(std::string message, std::string artifact = {});
Status engine_failure(std::string message, std::string artifact = {});
Status internal_error(std::string message, std::string artifact = {});

// A value of type T, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  // Implicit, so that a function can `return value;` and `return status;`.
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    if (status_.ok()) status_ = internal_error("a Result was made from a Status that is ok");
  }

  bool ok() const { return value_.has_value(); }
  // Success when there is a value.
  const Status& status() const { return status_; }

  // Precondition: ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

#define COREML_DELEGATE_CONCAT_INNER(a, b) a##b
#define COREML_DELEGATE_CONCAT(a, b) COREML_DELEGATE_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expression`, a Status, is a failure.
#define COREML_DELEGATE_RETURN_IF_ERROR(expression)                    \
  do {                                                                 \
    if (::coreml_delegate::Status status_of_expression = (expression); \
        !status_of_expression.ok()) {                                  \
      return status_of_expression;                                     \
    }                                                                  \
  } while (false)

// Evaluates `expression`, a Result; returns its Status on failure, else assigns or declares
// `target` with the value.
#define COREML_DELEGATE_ASSIGN_OR_RETURN(target, expression)                                \
  COREML_DELEGATE_ASSIGN_OR_RETURN_INNER(COREML_DELEGATE_CONCAT(result_of_line_, __LINE__), \
                                         target, expression)
#define COREML_DELEGATE_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                              \
  if (!result.ok()) return result.status();                                \
  target = *std::move(result)

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_STATUS_H_
