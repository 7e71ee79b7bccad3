#ifndef COREML_DELEGATE_BASE_ATOMIC_FILE_H_
#define COREML_DELEGATE_BASE_ATOMIC_FILE_H_

// A file that appears under its name when it is whole, or not at all. write_file() of base/file.h
// writes a new file in place; this one may replace a file that others read meanwhile.
//
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const auto file, AtomicFile::create(files, path));
//   COREML_DELEGATE_RETURN_IF_ERROR(file->append(header));
//   COREML_DELEGATE_RETURN_IF_ERROR(file->append(content));
//   return file->finish();
//
// Thread rule: one thread at a time.

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"

namespace coreml_delegate {

class AtomicFile {
 public:
  // Begins a file that will be at `path`, beside it under another name; what an earlier attempt
  // left there is removed. `files` must outlive the object. Errors are those of FileSystem.
  static Result<std::unique_ptr<AtomicFile>> create(FileSystem& files, const std::string& path);
  // Removes what was written, unless finish() succeeded.
  ~AtomicFile();

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  Status append(ByteSpan bytes) { return file_->append(bytes); }
  // Called once, after the last byte. Replaces the file that is at the path, if there is one. With
  // kSynced, the content is on stable storage before its name is.
  Status finish(Durability durability = Durability::kNone);

 private:
  AtomicFile(FileSystem& files, std::string path, std::string staging,
             std::unique_ptr<WritableFile> file);

  FileSystem& files_;
  const std::string path_;
  const std::string staging_;
  std::unique_ptr<WritableFile> file_;
  bool is_finished_ = false;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_ATOMIC_FILE_H_
