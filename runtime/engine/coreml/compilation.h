#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILATION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILATION_H_

// Compiling a package with Core ML, which can take long and cannot be stopped. Plain C++.
//
// Thread rule: from any thread; compilations are independent.

#include <chrono>
#include <memory>
#include <string>

#include "base/private_folder.h"
#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

struct CompilationLimits {
  const CancellationToken* cancellation = nullptr;  // May be null.
  std::chrono::milliseconds timeout{0};             // Zero: none.
};

// Compiles the .mlpackage at `package`, which lies in `staged`, and moves the result to
// `destination`, which must not exist. cancelled and resource_exhausted (the timeout) return at
// once; Core ML goes on in the background, `staged` stays until it is done, and its result is
// removed.
Status compile_package(std::shared_ptr<const PrivateFolder> staged, const std::string& package,
                       const std::string& destination, const CompilationLimits& limits);

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILATION_H_
