#ifndef COREML_DELEGATE_RUNTIME_ASSETS_KEY_LOCK_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_KEY_LOCK_H_

#include <memory>
#include <string>
#include <utility>

#include "base/file.h"
#include "base/status.h"

namespace coreml_delegate::assets {

// The right to publish or take away one entry. Its file goes with it, so that lock files do not
// pile up.
class KeyLock {
 public:
  // failed_precondition while somebody else has it.
  static Result<KeyLock> acquire(FileSystem& files, const std::string& path) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        std::unique_ptr<FileLock> lock,
        files.try_lock(path, LockMode::kExclusive, MissingLock::kCreate));
    return KeyLock(std::move(lock));
  }
  KeyLock(KeyLock&&) = default;
  KeyLock& operator=(KeyLock&&) = delete;
  ~KeyLock() {
    // What cannot be removed is swept one day.
    if (lock_ != nullptr) (void)lock_->remove_file();
  }

 private:
  explicit KeyLock(std::unique_ptr<FileLock> lock) : lock_(std::move(lock)) {}
  std::unique_ptr<FileLock> lock_;
};

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_KEY_LOCK_H_
