#ifndef COREML_DELEGATE_RUNTIME_ENGINE_HELPER_PRIVATE_FOLDER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_HELPER_PRIVATE_FOLDER_H_

#include <string>
#include <utility>

#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::engine::helper {

// A new folder in temporary_directory() that only this user can open. It is removed, with all in
// it, when the object is destroyed.
//
// Thread rule: one thread.
class PrivateFolder {
 public:
  static Result<PrivateFolder> make();
  ~PrivateFolder();
  PrivateFolder(PrivateFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateFolder& operator=(PrivateFolder&&) = delete;

  const std::string& path() const { return path_; }

  // Writes the tree to the new folder `name`, and returns its path. Unlike
  // inmemoryfs::write_folder, nothing is synced: nobody needs it after a crash.
  Result<std::string> write(const std::string& name,
                            const inmemoryfs::InMemoryFileSystem& tree) const;
  // Makes an empty folder, and returns its path.
  Result<std::string> make_folder(const std::string& name) const;

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}

  std::string path_;  // Empty when moved from.
};

}  // namespace coreml_delegate::engine::helper

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_HELPER_PRIVATE_FOLDER_H_
