#ifndef COREML_DELEGATE_BASE_FILE_H_
#define COREML_DELEGATE_BASE_FILE_H_

// The one seam to the operating system's files. Everything in this project that reads or writes a
// file does it through a FileSystem, so that it can be run in memory and made to fail at any call
// (base/testing_memory_files.h, base/testing_failing_files.h).
//
// Thread rule: a FileSystem may be used from several threads at once; a WritableFile by one at a
// time. Paths are UTF-8, `/`-separated. Errors are io_error (or not_found, already_exists,
// resource_exhausted for a full disk) naming the path and the operating system's reason.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace coreml_delegate {

enum class FileKind { kFile, kDirectory, kSymbolicLink, kOther };

struct FileInfo {
  FileKind kind = FileKind::kOther;  // Of the path itself: links are not followed.
  uint64_t size = 0;                 // Bytes; 0 unless kFile.
  int64_t modified_ns = 0;           // Last change of the content, nanoseconds since 1970 (UTC).
};

struct SpaceInfo {
  uint64_t free_bytes = 0;   // What this process may still use of the volume.
  uint64_t total_bytes = 0;  // The volume's size.
};

struct DirectoryEntry {
  std::string name;  // Without the folder.
  FileKind kind = FileKind::kOther;
};

// Whether a symbolic link in the last component of a path is followed.
enum class Links { kFollow, kRefuse };

// A file being written. Destroying it without close() closes the handle and leaves what was
// written.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Status append(ByteSpan bytes) = 0;
  // Overwrites what append() has written, from byte `offset` on. invalid_argument for a range that
  // goes beyond it.
  virtual Status patch(uint64_t offset, ByteSpan bytes) = 0;
  // Returns when the content is on stable storage.
  virtual Status sync() = 0;
  // Must be called once; reports what the operating system kept back until now.
  virtual Status close() = 0;
};

enum class LockMode { kShared, kExclusive };
// What try_lock does when the file to lock is not there.
enum class MissingLock { kCreate, kRefuse };

// An advisory lock, held until it is destroyed or its process ends, however it ends. It belongs to
// the file, not to its path: it stays when the file, or a folder above it, is renamed. And it
// belongs to the process that took it: what a forked child does or does not destroy changes
// nothing.
class FileLock {
 public:
  virtual ~FileLock() = default;
  // Removes the file at the path it was locked by, still holding the lock: who waits for it sees
  // that its file is gone. Precondition: held exclusively, and not renamed meanwhile.
  virtual Status remove_file() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<FileInfo> info(const std::string& path) const = 0;
  // Sorted by name, without `.` and `..`.
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) const = 0;
  // The whole file, mapped where the system can: pages are read when touched. Truncating the file
  // meanwhile is not allowed. invalid_argument for what is no regular file, or is a link and
  // `links` refuses it.
  virtual Result<Bytes> map(const std::string& path, Links links) const = 0;
  Result<Bytes> map(const std::string& path) const { return map(path, Links::kFollow); }

  // A new file; already_exists when there is one. Links in the last component are not followed.
  virtual Result<std::unique_ptr<WritableFile>> create(const std::string& path) = 0;
  // Makes one directory; already_exists when there is something of that name.
  virtual Status make_directory(const std::string& path) = 0;
  // Makes a directory that did not exist, inside `parent`, its name beginning with `prefix`;
  // returns its path. Its access rights are those of make_directory.
  virtual Result<std::string> make_unique_directory(const std::string& parent,
                                                    const std::string& prefix) = 0;
  // Atomic within a volume. A directory replaces nothing: already_exists when `to` is there; a file
  // replaces a file.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove_file(const std::string& path) = 0;
  // Removes the directory and all below it without following links; success when it is not there.
  virtual Status remove_tree(const std::string& path) = 0;
  // Returns when the directory's entries are on stable storage.
  virtual Status sync_directory(const std::string& path) = 0;
  // Returns when the content of a file written by whatever means is on stable storage.
  virtual Status sync_file(const std::string& path) = 0;

  // Locks the file `path` without waiting, against other processes and against other locks of this
  // one. When it succeeds, the locked file is the one at `path`. failed_precondition while somebody
  // holds a lock that excludes this one; not_found for a missing file that is not to be created;
  // unsupported where the volume has no locks (some network file systems).
  virtual Result<std::unique_ptr<FileLock>> try_lock(const std::string& path, LockMode mode,
                                                     MissingLock missing) = 0;
  // Of the volume that `path`, which must be there, lies on.
  virtual Result<SpaceInfo> space(const std::string& path) const = 0;
};

// The operating system's.
FileSystem& real_file_system();

// Lets the pages of bytes that real_file_system().map() gave, or of a part of them, leave memory:
// they are read again when touched. So a pass over a large file does not end with all of it
// resident. Nothing happens for other bytes.
void release_pages(const Bytes& bytes);

enum class Durability {
  kNone,    // For what nobody needs after a crash.
  kSynced,  // The content is on stable storage. Its name is when the folder was synced, too.
};
// Writes the new file `path`; already_exists when there is one. After a failure a part of it may be
// there.
Status write_file(FileSystem& files, const std::string& path, ByteSpan content,
                  Durability durability);

// The folder for temporary files (TMPDIR, or /tmp).
std::string temporary_directory();
// The user's folder for what can be made again: Library/Caches on Apple systems, where it is the
// app's own; elsewhere XDG_CACHE_HOME, or .cache in the home folder. It need not be there.
// failed_precondition where the environment names neither.
Result<std::string> caches_directory();
// A new folder in the first that only this user can enter: models are nobody else's business. `prefix`
// begins its name; the caller removes it.
Result<std::string> make_private_directory(const std::string& prefix);

// `directory` and `name` with one `/` between them.
std::string join_path(const std::string& directory, const std::string& name);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_FILE_H_
