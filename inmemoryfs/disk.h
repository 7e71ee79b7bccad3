#ifndef COREML_DELEGATE_INMEMORYFS_DISK_H_
#define COREML_DELEGATE_INMEMORYFS_DISK_H_

// Between an InMemoryFileSystem and folders on disk.

#include <string>

#include "base/file.h"
#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::inmemoryfs {

// What read_folder does with a symbolic link.
enum class SymbolicLinks {
  kRefuse,  // invalid_argument naming the link. The default: a link can lead out of the folder.
  kSkip,    // The link is left out of the tree.
};

// The tree of the folder `path`, its files mapped; empty folders are in it. Devices, sockets and
// pipes are refused, as are names that break the rules for paths. `path` itself may be a link to a
// folder: it is the caller's choice.
Result<InMemoryFileSystem> read_folder(const FileSystem& files, const std::string& path,
                                       SymbolicLinks links = SymbolicLinks::kRefuse);

// Writes the tree as the new folder `path`, whose parent must exist: everything goes to a staging
// folder beside it, is synced and renamed, so that `path` is whole or not there. Nothing outside
// the staging folder is touched, and on failure it is removed. kAlreadyExists when `path` is there.
Status write_folder(FileSystem& files, const InMemoryFileSystem& tree, const std::string& path);

// Writes the tree as the new folder `path`, whose parent must exist, and syncs nothing: for a copy
// that nobody needs after a crash. On failure a part of it is there.
Status write_temporary_folder(FileSystem& files, const InMemoryFileSystem& tree,
                              const std::string& path);

}  // namespace coreml_delegate::inmemoryfs

#endif  // COREML_DELEGATE_INMEMORYFS_DISK_H_
