#include "base/testing_failing_files.h"

#include <utility>

namespace coreml_delegate {

class FailingFileSystem::Writer final : public WritableFile {
 public:
  Writer(const FailingFileSystem& files, std::unique_ptr<WritableFile> base, std::string path)
      : files_(files), base_(std::move(base)), path_(std::move(path)) {}

  Status append(ByteSpan bytes) override {
    if (Status status = files_.next(FileOperation::kAppend, path_); !status.ok()) {
      COREML_DELEGATE_RETURN_IF_ERROR(base_->append(bytes.first(bytes.size() / 2)));
      return status;
    }
    return base_->append(bytes);
  }
  // Counted as an append: it writes as well.
  Status patch(uint64_t offset, ByteSpan bytes) override {
    if (Status status = files_.next(FileOperation::kAppend, path_); !status.ok()) {
      COREML_DELEGATE_RETURN_IF_ERROR(base_->patch(offset, bytes.first(bytes.size() / 2)));
      return status;
    }
    return base_->patch(offset, bytes);
  }
  Status sync() override {
    COREML_DELEGATE_RETURN_IF_ERROR(files_.next(FileOperation::kSync, path_));
    return base_->sync();
  }
  Status close() override {
    Status status = files_.next(FileOperation::kClose, path_);
    const Status closed = base_->close();
    return status.ok() ? closed : status;
  }

 private:
  const FailingFileSystem& files_;
  const std::unique_ptr<WritableFile> base_;
  const std::string path_;
};

void FailingFileSystem::fail_call(uint64_t number, Status status, bool all_after) {
  const MutexLock lock(mutex_);
  failing_call_ = calls_ + number;
  call_status_ = std::move(status);
  all_after_ = all_after;
}

void FailingFileSystem::fail_operation(FileOperation operation, Status status,
                                       std::string path_part) {
  const MutexLock lock(mutex_);
  rules_.push_back({operation, std::move(status), std::move(path_part)});
}

void FailingFileSystem::clear() {
  const MutexLock lock(mutex_);
  calls_ = 0;
  failing_call_ = 0;
  all_after_ = false;
  rules_.clear();
}

uint64_t FailingFileSystem::calls() const {
  const MutexLock lock(mutex_);
  return calls_;
}

void FailingFileSystem::set_hook(std::function<void(uint64_t, FileOperation)> hook) {
  const MutexLock lock(mutex_);
  hook_ = std::move(hook);
}

Status FailingFileSystem::next(FileOperation operation, const std::string& path) const {
  std::function<void(uint64_t, FileOperation)> hook;
  uint64_t number = 0;
  {
    const MutexLock lock(mutex_);
    number = ++calls_;
    hook = hook_;
  }
  if (hook) hook(number, operation);
  const MutexLock lock(mutex_);
  if (failing_call_ != 0 && (number == failing_call_ || (all_after_ && number > failing_call_))) {
    return call_status_;
  }
  for (const Rule& rule : rules_) {
    if (rule.operation == operation && path.find(rule.path_part) != std::string::npos) {
      return rule.status;
    }
  }
  return {};
}

Result<FileInfo> FailingFileSystem::info(const std::string& path) const {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kInfo, path));
  return base_.info(path);
}

Result<std::vector<DirectoryEntry>> FailingFileSystem::list(const std::string& path) const {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kList, path));
  return base_.list(path);
}

Result<Bytes> FailingFileSystem::map(const std::string& path, Links links) const {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kMap, path));
  return base_.map(path, links);
}

Result<std::unique_ptr<WritableFile>> FailingFileSystem::create(const std::string& path) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kCreate, path));
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, base_.create(path));
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(*this, std::move(file), path));
}

Status FailingFileSystem::make_directory(const std::string& path) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kMakeDirectory, path));
  return base_.make_directory(path);
}

Result<std::string> FailingFileSystem::make_unique_directory(const std::string& parent,
                                                             const std::string& prefix) {
  COREML_DELEGATE_RETURN_IF_ERROR(
      next(FileOperation::kMakeUniqueDirectory, join_path(parent, prefix)));
  return base_.make_unique_directory(parent, prefix);
}

Status FailingFileSystem::rename(const std::string& from, const std::string& to) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kRename, from));
  return base_.rename(from, to);
}

Status FailingFileSystem::remove_file(const std::string& path) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kRemoveFile, path));
  return base_.remove_file(path);
}

Status FailingFileSystem::remove_tree(const std::string& path) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kRemoveTree, path));
  return base_.remove_tree(path);
}

Status FailingFileSystem::sync_directory(const std::string& path) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kSyncDirectory, path));
  return base_.sync_directory(path);
}

Status FailingFileSystem::sync_file(const std::string& path) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kSyncFile, path));
  return base_.sync_file(path);
}

Result<std::unique_ptr<FileLock>> FailingFileSystem::try_lock(const std::string& path,
                                                              LockMode mode, MissingLock missing) {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kLock, path));
  return base_.try_lock(path, mode, missing);
}

Result<SpaceInfo> FailingFileSystem::space(const std::string& path) const {
  COREML_DELEGATE_RETURN_IF_ERROR(next(FileOperation::kSpace, path));
  return base_.space(path);
}

}  // namespace coreml_delegate
