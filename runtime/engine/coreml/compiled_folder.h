#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILED_FOLDER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILED_FOLDER_H_

// The folder that the Core ML engine compiles a model into:
//
//   model.mlmodelc/    what Core ML compiled
//   description.json   one line of JSON: the text of the request that it was compiled for, the
//                      function and its description, and the size of every file in model.mlmodelc
//
// description.json is written last, so that a folder with one is whole. A byte that changed
// afterwards is for whoever keeps the folder to find (runtime/assets): Core ML itself does not
// notice every damage, and a damaged model gave wrong numbers until the user cleared the cache
// (pytorch/executorch issue 16492).
//
// Thread rule: one thread per folder being written; reading from several.

#include <string>

#include "base/file.h"
#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

struct CompiledFunction {
  std::string request;  // CompileRequest::text.
  FunctionDescription description;
  // What MLModelConfiguration.functionName must be; empty for nil.
  std::string function_to_select;
};

std::string compiled_model_path(const std::string& folder);  // folder/model.mlmodelc

// model.mlmodelc is there already.
Status write_description(FileSystem& files, const std::string& folder,
                         const CompiledFunction& function);

// corrupt_data for a folder that is not whole or was never one of ours, failed_precondition for one
// of another format. For which request it was made is the caller's to compare.
Result<CompiledFunction> read_description(const FileSystem& files, const std::string& folder);

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_COMPILED_FOLDER_H_
