#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPILED_FOLDER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPILED_FOLDER_H_

// The folder that the portable engine compiles a function into:
//
//   graph.ov          what ov::CompiledModel::export_model wrote
//   weights.bin       what nodes of the graph multiply by in place (shared_weights.h); not there
//                     when there is nothing of the kind
//   description.json  one line of JSON: the text of the request that it was compiled for, the sizes
//                     of graph.ov and weights.bin, and the function's plan
//
// description.json is written last, so that a folder with one is whole. Nothing here finds a byte
// that changed afterwards: that is for whoever keeps the folder. Knows nothing of OpenVINO.
//
// Thread rule: one thread per folder being written; reading from several.

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/engine/portable/function_plan.h"

namespace coreml_delegate::engine::portable {

struct CompiledFolder {
  std::string request;  // CompileRequest::text.
  FunctionPlan plan;
  Bytes graph;                      // Mapped. Ignored when writing.
  Bytes weights;                    // Mapped. Ignored when writing.
  std::vector<Bytes> weight_parts;  // To write, each at the next multiple of kWeightAlignment.
};

// `export_graph` writes the graph to the stream, and may go back in it. The folder exists and is
// empty.
Status write_compiled_folder(FileSystem& files, const std::string& folder,
                             const CompiledFolder& content,
                             const std::function<Status(std::ostream&)>& export_graph);

// corrupt_data for a folder that is not whole or was never one of ours; failed_precondition for one
// of another format. For which request it was made is the caller's to compare.
Result<CompiledFolder> read_compiled_folder(const FileSystem& files, const std::string& folder);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPILED_FOLDER_H_
