#ifndef COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FILE_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FILE_H_

// Files that a run writes. They replace others of their names, but none that the run reads.
//
// Thread rule: pure functions over the file system.

#include <memory>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/file.h"
#include "base/status.h"

namespace coreml_delegate::runner {

// Whether `path` may be written: invalid_argument for a folder, a device or a file among `read`,
// the files that the run reads, under whatever name.
Status check_output(const std::string& path, const std::vector<std::string>& read);

// As check_output(). Where `path` is a link, it stays one, and what it names is replaced. `files`
// must outlive the object.
Result<std::unique_ptr<AtomicFile>> create_output(FileSystem& files, const std::string& path,
                                                  const std::vector<std::string>& read);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FILE_H_
