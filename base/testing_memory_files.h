#ifndef COREML_DELEGATE_BASE_TESTING_MEMORY_FILES_H_
#define COREML_DELEGATE_BASE_TESTING_MEMORY_FILES_H_

// A file system in memory for tests. `/` is there from the start; what was mapped stays as it was
// when the file is removed or replaced. It can lose power: what was not synced is then dropped,
// torn, filled with zeros or kept, and changes of folders happen in another order or not at all.
//
//   InMemoryFiles files;
//   publish(files);
//   files.lose_power(seed);  // Into a state, chosen by the seed, that a disk could then be in.
//   open_and_check(files);
//
// The rules are those of POSIX at their weakest. A file's content is safe after sync() of its
// writer or sync_file(); an entry of a folder (made, renamed to, removed) after sync_directory() of
// that folder, whether or not the file's content is. A rename is atomic: the old name and the new
// one are never both there or both gone because of it, unless another change did that. Nothing else
// is ordered: a rename may survive and the content written before it may not.
//
// Thread rule: as FileSystem's. lose_power() must not overlap another call; locks held and files
// open then are of a process that is gone, and may only be destroyed.

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"

namespace coreml_delegate {

class InMemoryFiles final : public FileSystem {
 public:
  InMemoryFiles();

  Result<FileInfo> info(const std::string& path) const override;
  Result<std::vector<DirectoryEntry>> list(const std::string& path) const override;
  using FileSystem::map;
  Result<Bytes> map(const std::string& path, Links links) const override;
  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override;
  Status make_directory(const std::string& path) override;
  Result<std::string> make_unique_directory(const std::string& parent,
                                            const std::string& prefix) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove_file(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Status sync_file(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path, LockMode mode,
                                             MissingLock missing) override;
  Result<SpaceInfo> space(const std::string& path) const override;

  // Every path there is but the root, sorted.
  std::vector<std::string> paths() const;
  // Puts a node of any kind at `path`, such as a symbolic link or a device, in place of what was
  // there. Its parent must be there.
  void put(const std::string& path, FileKind kind, const std::string& content = {});
  // What space() answers; plenty at the start. Writing does not change it.
  void set_free_space(uint64_t bytes);

  // Puts the file system into a state that it may have after power is lost now. Then everything in
  // it is as if synced.
  void lose_power(uint64_t seed);

  struct Losses {
    uint64_t entries_dropped = 0;  // Changes of folders that did not survive.
    uint64_t files_torn = 0;       // Contents cut short or filled with zeros.
  };
  // Of every lose_power() so far.
  Losses losses() const;

 private:
  using NodeId = uint64_t;
  static constexpr NodeId kRoot = 1;

  struct LockState {
    int shared = 0;
    bool exclusive = false;
  };
  struct Node {
    FileKind kind = FileKind::kFile;
    std::map<std::string, NodeId> entries;                  // A folder's.
    std::shared_ptr<const std::vector<std::byte>> content;  // A file's. Replaced, never changed.
    size_t synced_bytes = 0;                                // Of content, its beginning.
    int64_t modified_ns = 0;
    std::shared_ptr<LockState> lock = std::make_shared<LockState>();
  };
  // One change of folders: `node` leaves one entry, enters another, or both.
  struct Change {
    NodeId node = 0;
    NodeId from = 0;  // The folder left; 0: none.
    std::string from_name;
    NodeId to = 0;  // The folder entered; 0: none.
    std::string to_name;
    bool is_synced = false;
  };
  struct Place {
    NodeId folder = 0;
    std::string name;
  };
  class Writer;
  class Lock;

  Result<NodeId> find(const std::string& path) const COREML_DELEGATE_REQUIRES(mutex_);
  // Where `path` is or would be; its folder is there.
  Result<Place> place(const std::string& path) const COREML_DELEGATE_REQUIRES(mutex_);
  NodeId entry(const Place& place) const COREML_DELEGATE_REQUIRES(mutex_);  // 0: none.
  Result<NodeId> add(const std::string& path, FileKind kind) COREML_DELEGATE_REQUIRES(mutex_);
  void change(Change change) COREML_DELEGATE_REQUIRES(mutex_);
  void remove_below(NodeId folder) COREML_DELEGATE_REQUIRES(mutex_);
  void list_below(NodeId folder, const std::string& path, std::vector<std::string>& paths) const
      COREML_DELEGATE_REQUIRES(mutex_);
  bool is_at_or_below(NodeId node, NodeId folder) const COREML_DELEGATE_REQUIRES(mutex_);
  static void apply(const Change& change, std::map<NodeId, Node>& nodes);

  mutable Mutex mutex_;
  // As a running process sees them; removed ones stay.
  std::map<NodeId, Node> nodes_ COREML_DELEGATE_GUARDED_BY(mutex_);
  // The entries of folders when changes_ began.
  std::map<NodeId, std::map<std::string, NodeId>> safe_entries_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::vector<Change> changes_ COREML_DELEGATE_GUARDED_BY(mutex_);
  NodeId next_node_ COREML_DELEGATE_GUARDED_BY(mutex_) = kRoot + 1;
  uint64_t unique_ COREML_DELEGATE_GUARDED_BY(mutex_) = 0;
  uint64_t free_space_ COREML_DELEGATE_GUARDED_BY(mutex_) = uint64_t{1} << 50;
  Losses losses_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_TESTING_MEMORY_FILES_H_
