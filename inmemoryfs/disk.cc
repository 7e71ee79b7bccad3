#include "inmemoryfs/disk.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/logging.h"

namespace coreml_delegate::inmemoryfs {
namespace {

// Hidden, and no valid start of a model's name, so that a cleaner can tell what a crash left.
constexpr char kStagingPrefix[] = ".coreml-staging-";

Status read_entries(const FileSystem& files, const std::string& folder, const std::string& path,
                    SymbolicLinks links, InMemoryFileSystem& tree) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, files.list(folder));
  for (const DirectoryEntry& entry : entries) {
    const std::string on_disk = join_path(folder, entry.name);
    const std::string in_tree = join_path(path, entry.name);
    switch (entry.kind) {
      case FileKind::kFile: {
        COREML_DELEGATE_ASSIGN_OR_RETURN(Bytes content, files.map(on_disk, Links::kRefuse));
        COREML_DELEGATE_RETURN_IF_ERROR(tree.add_file(in_tree, std::move(content)));
        break;
      }
      case FileKind::kDirectory:
        COREML_DELEGATE_RETURN_IF_ERROR(tree.add_directory(in_tree));
        COREML_DELEGATE_RETURN_IF_ERROR(read_entries(files, on_disk, in_tree, links, tree));
        break;
      case FileKind::kSymbolicLink:
        if (links == SymbolicLinks::kSkip) break;
        return invalid_argument(
            "the path is a symbolic link; replace it with the file or folder that it points to, or "
            "leave links out",
            on_disk);
      case FileKind::kOther:
        return invalid_argument("the path is neither a file nor a folder", on_disk);
    }
  }
  return {};
}

// Writes the tree into the folder `staging`, which is there and empty, and syncs all of it.
Status fill(FileSystem& files, const InMemoryFileSystem& tree, const std::string& staging) {
  std::vector<std::string> folders{staging};
  COREML_DELEGATE_RETURN_IF_ERROR(
      tree.walk("", [&](std::string_view path, const Metadata& metadata, const Bytes& content) {
        std::string on_disk = join_path(staging, std::string(path));
        if (metadata.kind == NodeKind::kFile) {
          return write_file(files, on_disk, content.span(), Durability::kSynced);
        }
        COREML_DELEGATE_RETURN_IF_ERROR(files.make_directory(on_disk));
        folders.push_back(std::move(on_disk));
        return Status();
      }));
  // Folders below before those above: an entry is durable before what leads to it.
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    COREML_DELEGATE_RETURN_IF_ERROR(files.sync_directory(*folder));
  }
  return {};
}

Status publish(FileSystem& files, const std::string& staging, const std::string& path,
               const std::string& parent) {
  COREML_DELEGATE_RETURN_IF_ERROR(files.rename(staging, path));
  Status synced = files.sync_directory(parent);
  if (synced.ok()) return {};
  // Back to the staging name before it is removed, so that nobody sees a folder with parts missing.
  const Status undone = files.rename(path, staging);
  if (!undone.ok()) COREML_DELEGATE_LOG_STATUS(kWarning, undone);
  return synced;
}

}  // namespace

Result<InMemoryFileSystem> read_folder(const FileSystem& files, const std::string& path,
                                       SymbolicLinks links) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const FileInfo info, files.info(path));
  if (info.kind == FileKind::kFile || info.kind == FileKind::kOther) {
    return invalid_argument("the path is not a folder", path);
  }
  InMemoryFileSystem tree;
  const Status status = read_entries(files, path, "", links, tree);
  if (!status.ok()) return status.annotate("cannot read the folder", path);
  return tree;
}

Status write_temporary_folder(FileSystem& files, const InMemoryFileSystem& tree,
                              const std::string& path) {
  COREML_DELEGATE_RETURN_IF_ERROR(files.make_directory(path));
  return tree.walk(
      "", [&](std::string_view name, const Metadata& metadata, const Bytes& content) -> Status {
        const std::string on_disk = join_path(path, std::string(name));
        if (metadata.kind == NodeKind::kDirectory) return files.make_directory(on_disk);
        return write_file(files, on_disk, content.span(), Durability::kNone);
      });
}

Status write_folder(FileSystem& files, const InMemoryFileSystem& tree, const std::string& path) {
  std::string target = path;
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  const size_t slash = target.rfind('/');
  const std::string name = slash == std::string::npos ? target : target.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return invalid_argument("the path does not end with the name of a new folder", path);
  }
  std::string parent = ".";
  if (slash != std::string::npos) parent = slash == 0 ? "/" : target.substr(0, slash);

  const Result<FileInfo> there = files.info(target);
  if (there.ok())
    return already_exists("something with this name already exists, and is not replaced", path);
  if (there.status().code() != StatusCode::kNotFound) return there.status();
  Result<std::string> staging = files.make_unique_directory(parent, kStagingPrefix);
  if (!staging.ok()) return staging.status().annotate("cannot write the folder", path);

  Status status = fill(files, tree, *staging);
  if (status.ok()) status = publish(files, *staging, target, parent);
  if (status.ok()) return {};
  const Status removed = files.remove_tree(*staging);
  if (!removed.ok()) COREML_DELEGATE_LOG_STATUS(kWarning, removed);
  return status.annotate("cannot write the folder", path);
}

}  // namespace coreml_delegate::inmemoryfs
