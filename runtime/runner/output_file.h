#ifndef COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FILE_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FILE_H_

// A file that a run writes: it appears under its name when it is whole, or not at all.
//
// Thread rule: one thread.

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace coreml_delegate::runner {

class OutputFile {
 public:
  // Whether `path` may be written: invalid_argument for a folder, a device or a file among `read`,
  // the files that the run reads, under whatever name.
  static Status check(const std::string& path, const std::vector<std::string>& read);
  // As check(). Another file at `path` is replaced by finish(); where `path` is a link, what it
  // names. `files` must outlive the object.
  static Result<std::unique_ptr<OutputFile>> create(FileSystem& files, const std::string& path,
                                                    const std::vector<std::string>& read);
  // Removes what was written, unless finish() succeeded.
  ~OutputFile();

  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Status append(ByteSpan bytes) { return file_->append(bytes); }
  // Once, after the last byte.
  Status finish();

 private:
  OutputFile(FileSystem& files, std::string target, std::string staging,
             std::unique_ptr<WritableFile> file);

  FileSystem& files_;
  const std::string target_;
  const std::string staging_;
  std::unique_ptr<WritableFile> file_;
  bool is_finished_ = false;
};

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_OUTPUT_FILE_H_
