#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILED_FOLDER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILED_FOLDER_H_

// The folder that the Core ML engine compiles a model into:
//
//   model.mlmodelc/    what Core ML compiled
//   description.json   one line of JSON, then a line with its SHA-256: engine, fingerprint, the
//   function and its description, and size and
//                      SHA-256 of every file in model.mlmodelc
//
// Core ML itself does not notice every damage of a compiled model; a damaged one gave wrong numbers
// until the user cleared the cache (pytorch/executorch issue 16492). The digests find damage, not
// malice. description.json is written last.
//
// Thread rule: one thread per folder being written; reading from several.

#include <string>

#include "base/file.h"
#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

struct CompiledFunction {
  std::string fingerprint;
  FunctionDescription description;
  // What MLModelConfiguration.functionName must be; empty for nil.
  std::string function_to_select;
};

std::string compiled_model_path(const std::string& folder);  // folder/model.mlmodelc

// model.mlmodelc is there already.
Status write_description(FileSystem& files, const std::string& folder,
                         const CompiledFunction& function);

// Checks everything. corrupt_data for a folder that is damaged or was never one of ours,
// failed_precondition for one of another fingerprint.
Result<CompiledFunction> read_description(const FileSystem& files, const std::string& folder,
                                          const std::string& fingerprint);

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILED_FOLDER_H_
