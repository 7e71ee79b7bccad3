#include "runtime/engine/coreml/staged_folder.h"

#include <utility>

#include "base/file.h"
#include "base/logging.h"
#include "inmemoryfs/disk.h"

namespace coreml_delegate::engine::coreml {

Result<std::shared_ptr<StagedFolder>> StagedFolder::make() {
  ASSIGN_OR_RETURN(std::string path, make_private_directory("coreml_delegate_model"));
  return std::shared_ptr<StagedFolder>(new StagedFolder(std::move(path)));
}

StagedFolder::~StagedFolder() {
  const Status removed = real_file_system().remove_tree(path_);
  if (!removed.ok()) COREML_DELEGATE_LOG_STATUS(kWarning, removed);
}

Result<std::string> StagedFolder::write(const inmemoryfs::InMemoryFileSystem& files,
                                        const std::string& name) const {
  const std::string path = join_path(path_, name);
  RETURN_IF_ERROR(inmemoryfs::write_folder(real_file_system(), files, path));
  return path;
}

}  // namespace coreml_delegate::engine::coreml
