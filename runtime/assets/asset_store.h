#ifndef COREML_DELEGATE_RUNTIME_ASSETS_ASSET_STORE_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_ASSET_STORE_H_

// Compiled models kept on disk, by what they depend on: content-addressed, crash-safe, bounded.
//
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<AssetStore> store,
//                                    AssetStore::open({.folder = cache_dir}));
//   const auto compile_into = [&](const std::string& folder) { return compile(model, folder); };
//   // Compiles on a miss only.
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const Acquired got, store->acquire(key, compile_into));
//   // As long as the lease is held nothing removes the folder.
//   if (got.lease != nullptr) load(got.lease->folder());
//   if (got.lease == nullptr) load_without_a_store(model);
//
// Everything is in the folder `coreml-delegate-1` below the one given, and nothing outside it is
// touched. docs/assets.md describes the files, the protocol between processes and its proofs.
//
// What it promises, whatever other processes do and whenever any of them dies:
//   - a folder that is handed out is whole: it was published by one atomic rename after everything
//     in it was synced, and its checksums were compared as Verification says;
//   - nothing that is leased, by any process, is removed or changed;
//   - of processes and threads that ask for the same key at once, one compiles;
//   - a store that cannot be used (full, read-only, missing, without file locks) does not stop
//     anybody: acquire() then gives a private folder or none. Each reason is logged once.
//
// Thread rule: everything may be called from several threads and processes at once; not in a child
// after fork(). A Lease may be destroyed on any thread, also after its store, but not after the
// FileSystem.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"
#include "base/status.h"
#include "runtime/assets/asset_index.h"
#include "runtime/assets/asset_key.h"
#include "runtime/assets/key_lock.h"
#include "runtime/assets/layout.h"
#include "runtime/assets/lease.h"
#include "runtime/assets/manifest.h"

namespace coreml_delegate::assets {

// When checksums are compared. Sizes are, at every acquire.
enum class Verification {
  kFirstUse,  // In full when a process first uses an entry: the default.
  kSampled,   // A sample at every acquire.
  kFull,      // In full at every acquire.
  kNone,      // Never: for disks that are trusted.
};

struct AssetStoreOptions {
  std::string folder;
  // Least recently used entries go when all of them together have more bytes. An entry larger than
  // the budget is not kept.
  uint64_t budget_bytes = uint64_t{10} << 30;
  // Entries go, and none is added, while the volume has less free.
  uint64_t free_floor_bytes = uint64_t{256} << 20;
  Verification verification = Verification::kFirstUse;
  // How long acquire() waits for another process or thread that compiles the same key; then it goes
  // on without the store. 0: at once.
  std::chrono::milliseconds wait_for_compile = std::chrono::minutes(10);
  FileSystem* files = &real_file_system();
  // Where the index is kept; empty: in the folder. ":memory:" for none on disk.
  std::string index_path;
};

struct Acquired {
  std::shared_ptr<Lease> lease;  // Null: load without a store, for the reason in `why`.
  Source source = Source::kHit;
  std::string why;                        // Why it was no hit; empty for a hit.
  std::chrono::microseconds waited{0};    // For somebody else's compilation.
  std::chrono::microseconds compiled{0};  // In the callback.
  uint64_t bytes = 0;
};

struct StoreStats {
  std::string folder;       // The one given.
  std::string mode;         // "read-write", "read-only", "private", "off".
  std::string mode_reason;  // Why it is not read-write.
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t budget_bytes = 0;
  uint64_t free_bytes = 0;  // Of the volume.
  uint64_t free_floor_bytes = 0;
  // Of this store object, since it was opened.
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t compilations = 0;
  uint64_t uncached = 0;
  uint64_t evictions = 0;
  uint64_t damaged = 0;
};

struct EntryInfo {
  IndexEntry entry;
  bool is_in_use = false;  // By any process, this one included.
};

struct Removed {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t in_use = 0;  // Entries that stayed because somebody has them open.
};

struct Verified {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  std::vector<Status> damaged;  // One for each entry that was set aside.
};

class AssetStore {
 public:
  // Makes the folder and its parents where they are missing, sweeps what dead processes left and
  // brings the index in line with the files. A folder that cannot be used gives a store that is
  // read-only or off (stats() says why). invalid_argument for options that mean nothing.
  static Result<std::unique_ptr<AssetStore>> open(const AssetStoreOptions& options);

  using Compile = std::function<Status(const std::string& folder)>;
  // Calls `compile` with a new, empty folder when the entry is missing or damaged. A failure is
  // compile()'s; those of the store itself lead to a null lease.
  Result<Acquired> acquire(const AssetKey& key, const Compile& compile);
  // For an entry whose user, an engine, found it to be damaged. Takes the lease back and removes
  // the entry; where others have it open it stays (failed_precondition), and this store does not
  // hand it out again.
  Status report_damaged(std::shared_ptr<Lease> lease, const Status& why);

  StoreStats stats();
  // Most recently used first.
  Result<std::vector<EntryInfo>> list();
  // Removes everything that nobody uses.
  Result<Removed> purge();
  // Removes least recently used entries until at most `bytes` are left.
  Result<Removed> evict_to(uint64_t bytes);
  // By an entry's name, or a beginning of it that only one has. not_found; failed_precondition when
  // it is in use.
  Result<Removed> evict(const std::string& name);
  // Compares every checksum of every entry, and sets damaged ones aside.
  Result<Verified> verify();

 private:
  enum class Mode { kReadWrite, kReadOnly, kPrivate, kOff };
  using Clock = std::chrono::steady_clock;

  explicit AssetStore(const AssetStoreOptions& options);

  // Opening (asset_store_open.cc).
  void set_up();
  Status make_folders();
  void turn(Mode mode, const std::string& why);
  void sweep();
  void sweep_staging();
  void sweep_trash();
  void sweep_private();
  void sweep_locks();
  Status reconcile();

  // One entry.
  struct Opened {
    std::shared_ptr<Lease> lease;  // Null: a miss.
    std::string why;
    bool is_damaged = false;
  };
  Opened open_entry(const AssetKey& key, const std::string& name);
  Status check_content(const std::string& name, const Manifest& manifest);
  Result<Acquired> compile_and_publish(const AssetKey& key, const std::string& name,
                                       const Compile& compile, std::string why);
  Result<Acquired> compile_private(const AssetKey& key, const Compile& compile, std::string why);
  // Measures, syncs and describes what was compiled into `folder`, and leases it.
  Result<std::shared_ptr<Lease>> seal(const AssetKey& key, const std::string& folder, Source source,
                                      uint64_t& bytes);
  Status publish(const std::string& staging, const std::string& name);
  // Names what is most like the key among the entries there are.
  std::string miss_reason(const AssetKey& key);
  Acquired uncached(std::string why, const std::string& topic);
  void log_once(const std::string& topic, const std::string& text);

  // Room (asset_store_room.cc).
  struct Limits {
    uint64_t bytes = 0;
    uint64_t free_bytes = 0;
  };
  // Evicts until both hold; `keep` stays.
  Result<Removed> make_room(const Limits& limits, const std::string& keep);
  // failed_precondition when it is in use.
  Status remove_entry(const std::string& name);
  // The same for who holds the lock of `name`.
  Status remove_locked(const std::string& name);
  bool fits(const Limits& limits) const;
  uint64_t free_bytes() const;
  std::vector<std::string> entry_names() const;
  Result<Manifest> read_manifest(const std::string& entry_folder) const;

  const AssetStoreOptions options_;
  FileSystem& files_;
  const Layout layout_;
  Mode mode_ = Mode::kOff;
  std::string mode_reason_;
  std::unique_ptr<AssetIndex> index_;

  Mutex mutex_;
  // Nonces of entries that this process has verified, and of those reported as damaged.
  std::set<std::string> verified_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::set<std::string> distrusted_ COREML_DELEGATE_GUARDED_BY(mutex_);
  // The fingerprint of each engine that this process uses.
  std::map<std::string, std::string> current_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::set<std::string> logged_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::atomic<uint64_t> hits_ = 0;
  std::atomic<uint64_t> misses_ = 0;
  std::atomic<uint64_t> compilations_ = 0;
  std::atomic<uint64_t> uncached_ = 0;
  std::atomic<uint64_t> evictions_ = 0;
  std::atomic<uint64_t> damaged_ = 0;
};

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_ASSET_STORE_H_
