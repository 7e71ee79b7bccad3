#ifndef COREML_DELEGATE_BASE_PRIVATE_FOLDER_H_
#define COREML_DELEGATE_BASE_PRIVATE_FOLDER_H_

#include <string>
#include <utility>

#include "base/status.h"

namespace coreml_delegate {

// A new folder in temporary_directory() that only this user can open: models are nobody else's
// business. It is removed, with all in it, when the object is destroyed.
//
// Thread rule: const members from several threads.
class PrivateFolder {
 public:
  // `prefix` begins the folder's name. io_error says to set TMPDIR.
  static Result<PrivateFolder> make(const std::string& prefix);
  ~PrivateFolder();
  PrivateFolder(PrivateFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateFolder& operator=(PrivateFolder&&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}

  std::string path_;  // Empty when moved from.
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_PRIVATE_FOLDER_H_
