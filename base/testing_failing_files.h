#ifndef COREML_DELEGATE_BASE_TESTING_FAILING_FILES_H_
#define COREML_DELEGATE_BASE_TESTING_FAILING_FILES_H_

// A file system for tests that fails on command.
//
//   InMemoryFiles memory;
//   FailingFileSystem files(memory);
//   files.fail_call(3, io_error("injected"));   // the third call from now on fails
//   EXPECT_FALSE(write_folder(files, tree, "/target").ok());
//
// Thread rule: as FileSystem's.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"

namespace coreml_delegate {

enum class FileOperation {
  kInfo,
  kList,
  kMap,
  kCreate,
  kAppend,
  kSync,
  kClose,
  kMakeDirectory,
  kMakeUniqueDirectory,
  kRename,
  kRemoveFile,
  kRemoveTree,
  kSyncDirectory,
  kSyncFile,
  kLock,
  kSpace,
};

// Passes every call on to `base`, unless it was told to fail it. A call that fails has no effect,
// but for append, which writes the first half of its bytes before it fails, and close, which
// closes.
class FailingFileSystem final : public FileSystem {
 public:
  // `base` must outlive this.
  explicit FailingFileSystem(FileSystem& base) : base_(base) {}

  // Fails the `number`-th call from now, counted from 1; with `all_after`, every later one too.
  void fail_call(uint64_t number, Status status, bool all_after = false);
  // Fails every call of `operation` whose path contains `path_part`, until clear().
  void fail_operation(FileOperation operation, Status status, std::string path_part = {});
  void clear();
  // Called before every call, with no lock held and counted from 1; null takes it away. It may end
  // the process, or change what lies below.
  void set_hook(std::function<void(uint64_t call, FileOperation operation)> hook);
  // Calls since construction or clear(), those on files being written included.
  uint64_t calls() const;

  Result<FileInfo> info(const std::string& path) const override;
  Result<std::vector<DirectoryEntry>> list(const std::string& path) const override;
  using FileSystem::map;
  Result<Bytes> map(const std::string& path, Links links) const override;
  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override;
  Status make_directory(const std::string& path) override;
  Result<std::string> make_unique_directory(const std::string& parent,
                                            const std::string& prefix) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove_file(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Status sync_file(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path, LockMode mode,
                                             MissingLock missing) override;
  Result<SpaceInfo> space(const std::string& path) const override;

 private:
  class Writer;
  struct Rule {
    FileOperation operation;
    Status status;
    std::string path_part;
  };

  // Counts the call; what it is to fail with, or success.
  Status next(FileOperation operation, const std::string& path) const;

  FileSystem& base_;
  mutable Mutex mutex_;
  mutable uint64_t calls_ COREML_DELEGATE_GUARDED_BY(mutex_) = 0;
  uint64_t failing_call_ COREML_DELEGATE_GUARDED_BY(mutex_) = 0;  // 0: none.
  bool all_after_ COREML_DELEGATE_GUARDED_BY(mutex_) = false;
  Status call_status_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::vector<Rule> rules_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::function<void(uint64_t, FileOperation)> hook_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_TESTING_FAILING_FILES_H_
