#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPILED_FOLDER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPILED_FOLDER_H_

// The folder that the portable engine compiles a function into:
//
//   graph.ov          what ov::CompiledModel::export_model wrote
//   description.json  one line of JSON, then a line with its checksum: which engine and fingerprint
//   made the folder, for which
//                     options, the size and checksum of graph.ov, and the function's plan
//
// The checksums find damage, not malice. description.json is written last. Knows nothing of
// OpenVINO.
//
// Thread rule: one thread per folder being written; reading from several.

#include <functional>
#include <iosfwd>
#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/portable/function_plan.h"

namespace coreml_delegate::engine::portable {

struct CompiledFolder {
  std::string fingerprint;
  NumericMode numeric_mode = NumericMode::kFloat32;
  FunctionPlan plan;
  Bytes graph;  // Mapped. Ignored when writing.
};

// `export_graph` writes the graph to the stream, and is called twice: it must write the same. The
// folder exists and is empty.
Status write_compiled_folder(FileSystem& files, const std::string& folder,
                             const CompiledFolder& content,
                             const std::function<Status(std::ostream&)>& export_graph);

// corrupt_data for a folder that is damaged or was never one of ours; failed_precondition for one
// whose fingerprint is not `fingerprint`.
Result<CompiledFolder> read_compiled_folder(const FileSystem& files, const std::string& folder,
                                            const std::string& fingerprint);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPILED_FOLDER_H_
