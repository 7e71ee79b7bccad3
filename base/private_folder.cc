#include "base/private_folder.h"

#include "base/file.h"
#include "base/logging.h"

namespace coreml_delegate {

Result<PrivateFolder> PrivateFolder::make(const std::string& prefix) {
  Result<std::string> path = make_private_directory(prefix);
  if (!path.ok()) {
    return path.status().annotate_as(StatusCode::kIoError,
                                     "cannot make a folder for temporary files; set TMPDIR to a "
                                     "folder in which this process may write");
  }
  return PrivateFolder(*std::move(path));
}

PrivateFolder::~PrivateFolder() {
  if (path_.empty()) return;
  const Status removed = real_file_system().remove_tree(path_);
  if (!removed.ok()) COREML_DELEGATE_LOG_STATUS(kWarning, removed);
}

}  // namespace coreml_delegate
