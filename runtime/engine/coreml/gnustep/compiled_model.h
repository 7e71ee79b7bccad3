#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_COMPILED_MODEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_COMPILED_MODEL_H_

// What this framework's .mlmodelc is: a folder with the package (package/) and what the portable
// engine makes of each of its functions (functions/0, functions/1 ... in the package's order). Its
// own format: Apple's runtime does not read it, nor this one Apple's.
//
// Thread rule: const members from several threads.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "runtime/engine/engine.h"
#include "runtime/model/package.h"

namespace coreml_delegate::core_ml_gnustep {

// Compiles every function of the .mlpackage folder into the new folder `destination`. On failure
// nothing is left there.
Status compile_package(const std::string& package, const std::string& destination);

class CompiledModel {
 public:
  static Result<std::shared_ptr<const CompiledModel>> open(const std::string& folder);

  const model::Package& package() const { return package_; }
  // The empty name is the default function.
  Result<std::unique_ptr<engine::Model>> load(const std::string& function) const;

 private:
  CompiledModel(std::string folder, model::Package package)
      : folder_(std::move(folder)), package_(std::move(package)) {}

  std::string folder_;
  model::Package package_;
};

}  // namespace coreml_delegate::core_ml_gnustep

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_COMPILED_MODEL_H_
