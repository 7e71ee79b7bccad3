#include "runtime/engine/helper/private_folder.h"

#include <memory>
#include <string_view>

#include "base/file.h"
#include "base/logging.h"

namespace coreml_delegate::engine::helper {
namespace {

Status write_file(FileSystem& files, const std::string& path, ByteSpan content) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files.create(path));
  RETURN_IF_ERROR(file->append(content));
  return file->close();
}

}  // namespace

Result<PrivateFolder> PrivateFolder::make() {
  Result<std::string> path = make_private_directory("coreml-compile-");
  if (!path.ok()) {
    return path.status().annotate_as(StatusCode::kIoError,
                                     "no folder for temporary files could be made; set TMPDIR to a "
                                     "folder that can be written to");
  }
  return PrivateFolder(*std::move(path));
}

PrivateFolder::~PrivateFolder() {
  if (path_.empty()) return;
  const Status removed = real_file_system().remove_tree(path_);
  if (!removed.ok()) COREML_DELEGATE_LOG_STATUS(kWarning, removed);
}

Result<std::string> PrivateFolder::write(const std::string& name,
                                         const inmemoryfs::InMemoryFileSystem& tree) const {
  ASSIGN_OR_RETURN(std::string folder, make_folder(name));
  FileSystem& files = real_file_system();
  RETURN_IF_ERROR(tree.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& metadata, const Bytes& content) {
        const std::string on_disk = join_path(folder, std::string(path));
        if (metadata.kind == inmemoryfs::NodeKind::kDirectory) return files.make_directory(on_disk);
        return write_file(files, on_disk, content.span());
      }));
  return folder;
}

Result<std::string> PrivateFolder::make_folder(const std::string& name) const {
  std::string folder = join_path(path_, name);
  RETURN_IF_ERROR(real_file_system().make_directory(folder));
  return folder;
}

}  // namespace coreml_delegate::engine::helper
