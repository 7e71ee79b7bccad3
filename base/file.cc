#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace coreml_delegate {
namespace {

// Calls `call` until it is not interrupted by a signal.
template <typename Call>
auto retry_interrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

// The failure of an operation on `path` with the reason in `error`.
Status failure(int error, const char* what, const std::string& path) {
  std::string message =
      std::string("cannot ") + what + ": " + std::generic_category().message(error);
  switch (error) {
    case ENOENT:
      return not_found(std::move(message), path);
    case EEXIST:
    case ENOTEMPTY:
      return already_exists(std::move(message), path);
    case ENOSPC:
    case EDQUOT:
      return resource_exhausted(message + "; free disk space and try again", path);
    case EFBIG:  // A limit of the process, or of the file system.
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return resource_exhausted(std::move(message), path);
    default:
      return io_error(std::move(message), path);
  }
}

// A file descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  bool ok() const { return value_ >= 0; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

// Ends a mapping. Its type is how release_pages tells mapped bytes from others.
struct Unmap {
  size_t size;
  void operator()(const void* address) const { ::munmap(const_cast<void*>(address), size); }
};

FileKind kind_of_mode(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::kFile;
  if (S_ISDIR(mode)) return FileKind::kDirectory;
  if (S_ISLNK(mode)) return FileKind::kSymbolicLink;
  return FileKind::kOther;
}

// Makes what was written to the descriptor durable. On Apple systems fsync alone leaves it in the
// drive's cache.
int sync_descriptor(int descriptor) {
#ifdef F_FULLFSYNC
  if (retry_interrupted([&] { return ::fcntl(descriptor, F_FULLFSYNC); }) == 0) return 0;
#endif
  return retry_interrupted([&] { return ::fsync(descriptor); });
}

// Renames without replacing; -1 with errno EEXIST when `to` is there.
int rename_exclusively(const std::string& from, const std::string& to) {
#if defined(__linux__) && defined(SYS_renameat2)
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE
  if (::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), kNoReplace) == 0) {
    return 0;
  }
  if (errno != EINVAL && errno != ENOSYS) return -1;
#elif defined(__APPLE__)
  if (::renamex_np(from.c_str(), to.c_str(), RENAME_EXCL) == 0) return 0;
  if (errno != ENOTSUP && errno != EINVAL) return -1;
#endif
  // A file system that has no exclusive rename. rename() itself refuses a directory that has
  // entries, so what a race can replace is an empty directory.
  struct stat there;
  if (::lstat(to.c_str(), &there) == 0) {
    errno = EEXIST;
    return -1;
  }
  return ::rename(from.c_str(), to.c_str());
}

int64_t modification_time(const struct stat& status) {
#ifdef __APPLE__
  const timespec& time = status.st_mtimespec;
#else
  const timespec& time = status.st_mtim;
#endif
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// flock, not fcntl: a process loses its fcntl locks when any of its descriptors of the file is
// closed, and they do not exclude its other threads.
class PosixFileLock final : public FileLock {
 public:
  PosixFileLock(Descriptor descriptor, std::string path, LockMode mode)
      : descriptor_(std::move(descriptor)), path_(std::move(path)), mode_(mode) {}
  ~PosixFileLock() override {
    // A forked child has a descriptor of the same open file: closing this one alone would leave the
    // lock with it. Ended by the child, it would be lost to the process that took it.
    if (::getpid() == process_) ::flock(descriptor_.get(), LOCK_UN);
  }

  Status remove_file() override {
    if (mode_ != LockMode::kExclusive)
      return failed_precondition("the lock is shared, and this needs an exclusive one", path_);
    if (::unlink(path_.c_str()) != 0) return failure(errno, "remove the lock file", path_);
    return {};
  }

 private:
  const Descriptor descriptor_;
  const std::string path_;
  const LockMode mode_;
  const pid_t process_ = ::getpid();
};

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(Descriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Status append(ByteSpan bytes) override {
    if (!descriptor_.ok())
      return failed_precondition("nothing can be appended to a file that was closed", path_);
    while (!bytes.empty()) {
      const ssize_t written = retry_interrupted([&] {
        return ::write(descriptor_.get(), bytes.data(), std::min(bytes.size(), kMaxCount));
      });
      if (written < 0) return failure(errno, "write the file", path_);
      bytes = bytes.subspan(static_cast<size_t>(written));
      size_ += static_cast<uint64_t>(written);
    }
    return {};
  }

  Status patch(uint64_t offset, ByteSpan bytes) override {
    if (!descriptor_.ok())
      return failed_precondition("a file that was closed cannot be changed", path_);
    if (offset > size_ || bytes.size() > size_ - offset) {
      return invalid_argument("the patch reaches beyond the bytes that were written", path_);
    }
    while (!bytes.empty()) {
      const ssize_t written = retry_interrupted([&] {
        return ::pwrite(descriptor_.get(), bytes.data(), std::min(bytes.size(), kMaxCount),
                        static_cast<off_t>(offset));
      });
      if (written < 0) return failure(errno, "write the file", path_);
      bytes = bytes.subspan(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
    return {};
  }

  Status sync() override {
    if (!descriptor_.ok())
      return failed_precondition("a file that was closed cannot be synchronised", path_);
    if (sync_descriptor(descriptor_.get()) != 0) return failure(errno, "sync the file", path_);
    return {};
  }

  Status close() override {
    if (!descriptor_.ok()) return failed_precondition("the file was already closed", path_);
    // Not retried: after EINTR the descriptor is closed, and its number may belong to another
    // thread.
    if (::close(descriptor_.release()) != 0 && errno != EINTR) {
      return failure(errno, "close the file", path_);
    }
    return {};
  }

 private:
  // The largest count that Linux and macOS accept in one call.
  static constexpr size_t kMaxCount = size_t{1} << 30;

  Descriptor descriptor_;
  const std::string path_;
  uint64_t size_ = 0;
};

// Removes what is in the directory of `directory`, links not followed. Depth-first; one descriptor
// for each level.
Status remove_entries(DIR* directory, const std::string& path) {
  // Read to the end first: some file systems skip entries when others are removed meanwhile.
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return failure(errno, "read the folder", path);
  const int descriptor = ::dirfd(directory);
  for (const std::string& name : names) {
    if (::unlinkat(descriptor, name.c_str(), 0) == 0 || errno == ENOENT) continue;
    const int why = errno;
    const std::string below = join_path(path, name);
    Descriptor child(retry_interrupted([&] {
      return ::openat(descriptor, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }));
    // Not a directory: what unlinkat said holds.
    if (!child.ok()) return failure(errno == ENOTDIR ? why : errno, "remove", below);
    Directory stream(::fdopendir(child.get()));
    if (stream == nullptr) return failure(errno, "read the folder", below);
    child.release();
    COREML_DELEGATE_RETURN_IF_ERROR(remove_entries(stream.get(), below));
    if (::unlinkat(descriptor, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return failure(errno, "remove the folder", below);
    }
  }
  return {};
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<FileInfo> info(const std::string& path) const override {
    struct stat status;
    if (::lstat(path.c_str(), &status) != 0) return failure(errno, "look up the path", path);
    FileInfo result;
    result.kind = kind_of_mode(status.st_mode);
    if (result.kind == FileKind::kFile) result.size = static_cast<uint64_t>(status.st_size);
    result.modified_ns = modification_time(status);
    return result;
  }

  Result<std::vector<DirectoryEntry>> list(const std::string& path) const override {
    const Directory directory(::opendir(path.c_str()));
    if (directory == nullptr) return failure(errno, "open the folder", path);
    std::vector<DirectoryEntry> entries;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      // Not d_type, which some file systems leave unknown.
      struct stat status;
      if (::fstatat(::dirfd(directory.get()), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;  // Removed meanwhile.
        return failure(errno, "look up the path", join_path(path, name));
      }
      entries.push_back({name, kind_of_mode(status.st_mode)});
    }
    if (errno != 0) return failure(errno, "read the folder", path);
    std::sort(entries.begin(), entries.end(),
              [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
    return entries;
  }

  using FileSystem::map;
  Result<Bytes> map(const std::string& path, Links links) const override {
    // O_NONBLOCK: opening a pipe without a writer must not wait. It changes nothing for regular
    // files.
    const int flags =
        O_RDONLY | O_CLOEXEC | O_NONBLOCK | (links == Links::kRefuse ? O_NOFOLLOW : 0);
    const Descriptor file(retry_interrupted([&] { return ::open(path.c_str(), flags); }));
    if (!file.ok()) {
      if (errno == ELOOP && links == Links::kRefuse) {
        return invalid_argument("the path is a symbolic link, and links are not followed here",
                                path);
      }
      return failure(errno, "open the file", path);
    }
    struct stat status;
    if (::fstat(file.get(), &status) != 0) return failure(errno, "look up the file", path);
    if (!S_ISREG(status.st_mode)) return invalid_argument("the path is not a regular file", path);
    const size_t size = static_cast<size_t>(status.st_size);
    if (size == 0) return Bytes();  // mmap refuses an empty range.
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) return failure(errno, "map the file", path);
    std::shared_ptr<const void> owner(address, Unmap{size});
    return Bytes(ByteSpan(static_cast<const std::byte*>(address), size), std::move(owner));
  }

  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override {
    Descriptor file(retry_interrupted([&] {
      return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    }));
    if (!file.ok()) return failure(errno, "create the file", path);
    return std::unique_ptr<WritableFile>(
        std::make_unique<PosixWritableFile>(std::move(file), path));
  }

  Status make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0777) != 0) return failure(errno, "make the folder", path);
    return {};
  }

  Result<std::string> make_unique_directory(const std::string& parent,
                                            const std::string& prefix) override {
    // mkdtemp would make it private (0700), and a published folder keeps its rights. mkdir is
    // exclusive whatever the name, so the suffix needs to be unlikely to collide, not hard to
    // guess.
    static constinit std::atomic<uint64_t> counter{0};
    constexpr int kAttempts = 100;
    for (int i = 0; i < kAttempts; ++i) {
      char suffix[64];
      const auto now = std::chrono::system_clock::now().time_since_epoch().count();
      std::snprintf(suffix, sizeof(suffix), "%lx-%llx-%llx", static_cast<long>(::getpid()),
                    static_cast<unsigned long long>(counter.fetch_add(1)),
                    static_cast<unsigned long long>(now));
      std::string path = join_path(parent, prefix + suffix);
      if (::mkdir(path.c_str(), 0777) == 0) return path;
      if (errno != EEXIST) return failure(errno, "make a folder", path);
    }
    return already_exists("no name is free for a folder that begins with '" + prefix + "'", parent);
  }

  Status rename(const std::string& from, const std::string& to) override {
    struct stat status;
    if (::lstat(from.c_str(), &status) != 0) return failure(errno, "rename", from);
    const int result =
        S_ISDIR(status.st_mode) ? rename_exclusively(from, to) : ::rename(from.c_str(), to.c_str());
    if (result != 0) return failure(errno, ("rename to " + to).c_str(), from);
    return {};
  }

  Status remove_file(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return failure(errno, "remove the file", path);
    return {};
  }

  Status remove_tree(const std::string& path) override {
    Descriptor descriptor(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }));
    if (!descriptor.ok()) {
      return errno == ENOENT ? Status() : failure(errno, "open the folder", path);
    }
    Directory directory(::fdopendir(descriptor.get()));
    if (directory == nullptr) return failure(errno, "read the folder", path);
    descriptor.release();
    COREML_DELEGATE_RETURN_IF_ERROR(remove_entries(directory.get(), path));
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
      return failure(errno, "remove the folder", path);
    }
    return {};
  }

  Status sync_directory(const std::string& path) override {
    const Descriptor descriptor(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!descriptor.ok()) return failure(errno, "open the folder", path);
    // Some file systems cannot sync a directory and say EINVAL; there is nothing more to do on
    // them.
    if (sync_descriptor(descriptor.get()) != 0 && errno != EINVAL) {
      return failure(errno, "sync the folder", path);
    }
    return {};
  }

  Status sync_file(const std::string& path) override {
    const Descriptor descriptor(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); }));
    if (!descriptor.ok()) return failure(errno, "open the file", path);
    if (sync_descriptor(descriptor.get()) != 0) return failure(errno, "sync the file", path);
    return {};
  }

  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path, LockMode mode,
                                             MissingLock missing) override {
    // A shared lock needs no right to write, so that a read-only folder can be used; an exclusive
    // one needs it where locks are emulated (NFS).
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
                      (missing == MissingLock::kCreate ? O_RDWR | O_CREAT
                       : mode == LockMode::kShared     ? O_RDONLY
                                                       : O_RDWR);
    const int operation = LOCK_NB | (mode == LockMode::kShared ? LOCK_SH : LOCK_EX);
    // Whoever removes a lock file holds its lock, so the file that was opened may be gone once the
    // lock is there. Each turn means that somebody else made progress.
    constexpr int kAttempts = 1000;
    for (int i = 0; i < kAttempts; ++i) {
      Descriptor file(retry_interrupted([&] { return ::open(path.c_str(), flags, 0666); }));
      if (!file.ok()) return failure(errno, "open the lock file", path);
      if (retry_interrupted([&] { return ::flock(file.get(), operation); }) != 0) {
        if (errno == EWOULDBLOCK)
          return failed_precondition("another process or thread has locked the file", path);
        if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
          return unsupported(
              "the volume has no file locks: " + std::generic_category().message(errno), path);
        }
        return failure(errno, "lock the file", path);
      }
      struct stat locked;
      struct stat there;
      if (::fstat(file.get(), &locked) != 0) return failure(errno, "look up the lock file", path);
      if (::lstat(path.c_str(), &there) == 0 && locked.st_ino == there.st_ino &&
          locked.st_dev == there.st_dev) {
        return std::unique_ptr<FileLock>(
            std::make_unique<PosixFileLock>(std::move(file), path, mode));
      }
    }
    return failed_precondition("the lock file is replaced again and again", path);
  }

  Result<SpaceInfo> space(const std::string& path) const override {
    struct statvfs status;
    if (retry_interrupted([&] { return ::statvfs(path.c_str(), &status); }) != 0) {
      return failure(errno, "ask for the free space of the volume", path);
    }
    const uint64_t unit = status.f_frsize != 0 ? status.f_frsize : status.f_bsize;
    return SpaceInfo{.free_bytes = unit * status.f_bavail, .total_bytes = unit * status.f_blocks};
  }
};

}  // namespace

FileSystem& real_file_system() {
  // Never destroyed: files may be closed while the process ends.
  static PosixFileSystem& files = *new PosixFileSystem;
  return files;
}

void release_pages(const Bytes& bytes) {
  const Unmap* mapping = std::get_deleter<Unmap>(bytes.owner());
  if (mapping == nullptr || bytes.size() == 0) return;
  const auto base = reinterpret_cast<uintptr_t>(bytes.owner().get());
  const auto start = reinterpret_cast<uintptr_t>(bytes.data());
  // An owner may be shared by bytes that lie elsewhere.
  if (start < base || start - base > mapping->size ||
      bytes.size() > mapping->size - (start - base)) {
    return;
  }
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = start / page * page;
  const uintptr_t last = (start + bytes.size() + page - 1) / page * page;
  // The mapping is private, of a file, and never written through: what is dropped comes back from
  // the file.
  ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

Status write_file(FileSystem& files, const std::string& path, ByteSpan content,
                  Durability durability) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files.create(path));
  COREML_DELEGATE_RETURN_IF_ERROR(file->append(content));
  if (durability == Durability::kSynced) COREML_DELEGATE_RETURN_IF_ERROR(file->sync());
  return file->close();
}

std::string temporary_directory() {
  const char* configured = std::getenv("TMPDIR");
  return configured != nullptr && *configured != '\0' ? configured : "/tmp";
}

Result<std::string> caches_directory() {
  const auto absolute = [](const char* variable) -> std::string {
    const char* const value = std::getenv(variable);
    return value != nullptr && value[0] == '/' ? value : "";
  };
  const std::string home = absolute("HOME");
#ifdef __APPLE__
  if (!home.empty()) return join_path(home, "Library/Caches");
#else
  // A relative path counts as none, as the XDG specification says.
  const std::string configured = absolute("XDG_CACHE_HOME");
  if (!configured.empty()) return configured;
  if (!home.empty()) return join_path(home, ".cache");
#endif
  return failed_precondition(
      "the environment names no home folder: set HOME, or name a folder yourself");
}

Result<std::string> make_private_directory(const std::string& prefix) {
  std::string path = join_path(temporary_directory(), prefix + "XXXXXX");
  if (::mkdtemp(path.data()) == nullptr) {
    return failure(errno, "make a folder for temporary files", path);
  }
  return path;
}

std::string join_path(const std::string& directory, const std::string& name) {
  if (directory.empty() || directory.back() == '/') return directory + name;
  return directory + "/" + name;
}

}  // namespace coreml_delegate
