#include "runtime/engine/coreml/compilation.h"

#import <CoreML/CoreML.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/logging.h"
#include "base/mutex.h"
#include "base/private_folder.h"
#include "runtime/engine/coreml/guard.h"

namespace coreml_delegate::engine::coreml {

namespace {

// How often a caller that waits looks at its token.
constexpr std::chrono::milliseconds kPoll{10};

// Shared by the caller that waits and the handler that Core ML calls, whichever ends last.
struct Compilation {
  std::shared_ptr<const PrivateFolder> staged;
  Mutex mutex;
  ConditionVariable changed;
  bool abandoned COREML_DELEGATE_GUARDED_BY(mutex) = false;
  // The compiled model's path, once there.
  std::optional<Result<std::string>> result COREML_DELEGATE_GUARDED_BY(mutex);
};

void remove_folder(const std::string& path) {
  const Status removed = guarded("remove a compiled model", path, [&]() -> Status {
    NSError* error = nil;
    if ([[NSFileManager defaultManager] removeItemAtPath:to_ns(path) error:&error]) return {};
    return status_of_error(error, "remove a compiled model", path);
  });
  if (!removed.ok()) COREML_DELEGATE_LOG_STATUS(kWarning, removed);
}

Result<std::string> compiled_path(NSURL* url, NSError* error, const std::string& package) {
  if (url == nil) return status_of_error(error, "compile the package", package);
  return from_ns([url path]);
}

void finish(const std::shared_ptr<Compilation>& compilation, Result<std::string> result) {
  const MutexLock lock(compilation->mutex);
  if (compilation->abandoned) {
    if (result.ok()) remove_folder(*result);
    return;
  }
  compilation->result = std::move(result);
  compilation->changed.notify_all();
}

Status check_cancelled(const CompilationLimits& limits, const std::string& package) {
  if (limits.cancellation == nullptr || !limits.cancellation->is_cancelled()) return {};
  return cancelled("the caller cancelled the compilation", package);
}

// Waits for the result; a failure when the caller's patience ended first.
Result<std::string> wait(const std::shared_ptr<Compilation>& compilation,
                         const std::string& package, const CompilationLimits& limits) {
  const auto deadline = std::chrono::steady_clock::now() + limits.timeout;
  const MutexLock lock(compilation->mutex);
  while (!compilation->result.has_value()) {
    compilation->changed.wait_for(compilation->mutex, kPoll);
    if (compilation->result.has_value()) break;
    Status ended = check_cancelled(limits, package);
    if (ended.ok() && limits.timeout.count() > 0 && std::chrono::steady_clock::now() >= deadline) {
      ended = resource_exhausted("Core ML did not compile the package within " +
                                     std::to_string(limits.timeout.count()) + " ms",
                                 package);
    }
    if (!ended.ok()) {
      compilation->abandoned = true;
      return ended;
    }
  }
  return *std::move(compilation->result);
}

Status start(const std::shared_ptr<Compilation>& compilation, const std::string& package) {
  return guarded("compile the package", package, [&]() -> Status {
    NSURL* const url = folder_url(package);
    if (@available(macOS 13.0, iOS 16.0, tvOS 16.0, watchOS 9.0, *)) {
      const std::shared_ptr<Compilation> shared = compilation;
      const std::string name = package;
      [MLModel compileModelAtURL:url
               completionHandler:^(NSURL* compiled, NSError* error) {
                 // On a thread of Core ML: nothing may be thrown from here.
                 finish(shared, guarded("compile the package", name,
                                        [&] { return compiled_path(compiled, error, name); }));
               }];
      return {};
    }
    NSError* error = nil;
    finish(compilation,
           compiled_path([MLModel compileModelAtURL:url error:&error], error, package));
    return {};
  });
}

}  // namespace

Status compile_package(std::shared_ptr<const PrivateFolder> staged, const std::string& package,
                       const std::string& destination, const CompilationLimits& limits) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(limits, package));
  const auto compilation = std::make_shared<Compilation>();
  compilation->staged = std::move(staged);
  COREML_DELEGATE_RETURN_IF_ERROR(start(compilation, package));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::string compiled, wait(compilation, package, limits));
  Status status = check_cancelled(limits, package);
  if (status.ok()) {
    status = guarded("move the compiled model", destination, [&]() -> Status {
      NSError* error = nil;
      if ([[NSFileManager defaultManager] moveItemAtPath:to_ns(compiled)
                                                  toPath:to_ns(destination)
                                                   error:&error]) {
        return {};
      }
      return status_of_error(error, "move the compiled model", destination);
    });
  }
  if (!status.ok()) remove_folder(compiled);
  return status;
}

}  // namespace coreml_delegate::engine::coreml
