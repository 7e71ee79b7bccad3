#include "base/atomic_file.h"

#include <utility>

namespace coreml_delegate {

Result<std::unique_ptr<AtomicFile>> AtomicFile::create(FileSystem& files, const std::string& path) {
  std::string staging = path + ".coreml-part";
  if (files.info(staging).ok()) COREML_DELEGATE_RETURN_IF_ERROR(files.remove_file(staging));
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, files.create(staging));
  return std::unique_ptr<AtomicFile>(
      new AtomicFile(files, path, std::move(staging), std::move(file)));
}

AtomicFile::AtomicFile(FileSystem& files, std::string path, std::string staging,
                       std::unique_ptr<WritableFile> file)
    : files_(files), path_(std::move(path)), staging_(std::move(staging)), file_(std::move(file)) {}

AtomicFile::~AtomicFile() {
  if (is_finished_) return;
  file_.reset();
  // Nothing more can be done where this fails too.
  static_cast<void>(files_.remove_file(staging_));
}

Status AtomicFile::finish(Durability durability) {
  if (durability == Durability::kSynced) COREML_DELEGATE_RETURN_IF_ERROR(file_->sync());
  COREML_DELEGATE_RETURN_IF_ERROR(file_->close());
  COREML_DELEGATE_RETURN_IF_ERROR(files_.rename(staging_, path_));
  is_finished_ = true;
  return {};
}

}  // namespace coreml_delegate
