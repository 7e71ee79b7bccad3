// Opening a store: making its folders, finding out what can be done there, and cleaning up after
// processes that died.

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "runtime/assets/asset_store.h"

namespace coreml_delegate::assets {
namespace {

// What a private folder without a lock, on a volume without locks, is thought to be forgotten
// after.
constexpr int64_t kForgottenNs = int64_t{30} * 24 * 3600 * 1'000'000'000;

// Whether the manifest is that of the entry `name`. How an earlier format named entries is
// forgotten.
bool is_of(const Manifest& manifest, const std::string& name) {
  return !manifest.is_current || manifest.key.name() == name;
}

// Makes the folder and what is missing above it.
Status make_path(FileSystem& files, const std::string& path) {
  const Status made = files.make_directory(path);
  if (made.ok() || made.code() == StatusCode::kAlreadyExists) return {};
  if (made.code() != StatusCode::kNotFound) return made;
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos || slash == 0) return made;
  COREML_DELEGATE_RETURN_IF_ERROR(make_path(files, path.substr(0, slash)));
  const Status again = files.make_directory(path);
  return again.code() == StatusCode::kAlreadyExists ? Status() : again;
}

}  // namespace

AssetStore::AssetStore(const AssetStoreOptions& options)
    : options_(options), files_(*options.files), layout_(options.folder) {}

Result<std::unique_ptr<AssetStore>> AssetStore::open(const AssetStoreOptions& options) {
  if (options.folder.empty()) return invalid_argument("the store needs a folder", "folder");
  if (options.folder.find('\0') != std::string::npos) {
    return invalid_argument("the folder's path contains NUL", options.folder);
  }
  if (options.budget_bytes == 0) {
    return invalid_argument("a budget of 0 bytes keeps nothing; leave out the folder instead",
                            options.folder);
  }
  if (options.wait_for_compile.count() < 0) {
    return invalid_argument("wait_for_compile cannot be negative", options.folder);
  }
  if (options.files == nullptr) return invalid_argument("the store needs a file system", "files");
  std::unique_ptr<AssetStore> store(new AssetStore(options));
  store->set_up();
  return store;
}

void AssetStore::turn(Mode mode, const std::string& why) {
  mode_ = mode;
  mode_reason_ = why;
  const char* effect = mode == Mode::kOff        ? "the store is not used"
                       : mode == Mode::kReadOnly ? "the store is used, but nothing is added to it"
                                                 : "compiled models are kept for this process only";
  log_once("mode", why + "; " + effect);
}

Status AssetStore::make_folders() {
  const bool is_new = !files_.info(layout_.locks).ok();
  COREML_DELEGATE_RETURN_IF_ERROR(make_path(files_, layout_.root));
  for (const std::string* folder : {&layout_.entries, &layout_.staging, &layout_.trash,
                                    &layout_.private_folders, &layout_.locks}) {
    const Status made = files_.make_directory(*folder);
    if (!made.ok() && made.code() != StatusCode::kAlreadyExists) return made;
    COREML_DELEGATE_ASSIGN_OR_RETURN(const FileInfo info, files_.info(*folder));
    if (info.kind != FileKind::kDirectory) return io_error("the path is not a folder", *folder);
  }
  if (!is_new) return {};
  // So that the first entry does not hang below folders that a loss of power undoes.
  COREML_DELEGATE_RETURN_IF_ERROR(files_.sync_directory(layout_.root));
  return files_.sync_directory(options_.folder);
}

void AssetStore::set_up() {
  // Whatever happens to the one on disk, there is one to ask.
  Result<std::unique_ptr<AssetIndex>> in_memory = AssetIndex::open("");
  if (!in_memory.ok()) return turn(Mode::kOff, in_memory.status().to_string());
  index_ = *std::move(in_memory);

  const auto read_only_or_off = [&](const Status& status) {
    // Entries that are there can be used without writing anything.
    if (!files_.list(layout_.entries).ok()) return turn(Mode::kOff, status.to_string());
    turn(Mode::kReadOnly, status.to_string());
    (void)reconcile();
  };
  const Status made = make_folders();
  if (!made.ok()) return read_only_or_off(made);
  Result<std::unique_ptr<FileLock>> sweeping =
      files_.try_lock(layout_.sweep_lock, LockMode::kExclusive, MissingLock::kCreate);
  const bool is_busy =
      !sweeping.ok() && sweeping.status().code() == StatusCode::kFailedPrecondition;
  if (!sweeping.ok() && !is_busy) {
    if (sweeping.status().code() != StatusCode::kUnsupported) {
      return read_only_or_off(sweeping.status());
    }
    turn(Mode::kPrivate, sweeping.status().to_string());
    return sweep_private();
  }
  mode_ = Mode::kReadWrite;
  if (options_.index_path != ":memory:") {
    Result<std::unique_ptr<AssetIndex>> index =
        AssetIndex::open(options_.index_path.empty() ? layout_.index : options_.index_path);
    if (index.ok()) index_ = *std::move(index);
  }
  // Where somebody else sweeps, there is no need to.
  if (!is_busy) sweep();
  if (const Status status = reconcile(); !status.ok()) log_once("index", status.to_string());
  (void)make_room({.bytes = options_.budget_bytes, .free_bytes = 0}, "");
}

void AssetStore::sweep() {
  sweep_staging();
  sweep_trash();
  sweep_private();
  sweep_locks();
}

void AssetStore::sweep_staging() {
  const Result<std::vector<DirectoryEntry>> found = files_.list(layout_.staging);
  if (!found.ok()) return;
  for (const DirectoryEntry& entry : *found) {
    // Whoever compiles holds the lock.
    const Result<KeyLock> lock = KeyLock::acquire(files_, layout_.lock(entry.name));
    if (lock.ok()) (void)files_.remove_tree(join_path(layout_.staging, entry.name));
  }
}

void AssetStore::sweep_trash() {
  const Result<std::vector<DirectoryEntry>> found = files_.list(layout_.trash);
  if (!found.ok()) return;
  for (const DirectoryEntry& entry : *found) {
    // Entries come here unused; one whose lease is gone was being removed.
    (void)files_.remove_tree(join_path(layout_.trash, entry.name));
  }
}

void AssetStore::sweep_private() {
  const Result<std::vector<DirectoryEntry>> found = files_.list(layout_.private_folders);
  if (!found.ok()) return;
  for (const DirectoryEntry& entry : *found) {
    const std::string folder = join_path(layout_.private_folders, entry.name);
    const Result<std::unique_ptr<FileLock>> lock =
        files_.try_lock(join_path(folder, kLeaseFile), LockMode::kExclusive, MissingLock::kRefuse);
    if (!lock.ok()) {
      if (lock.status().code() == StatusCode::kFailedPrecondition) continue;
      // One that had a lease and lost it was being removed; one that never had may be in use.
      const bool was_being_removed =
          lock.status().code() == StatusCode::kNotFound && !entry.name.starts_with(kUnlockedPrefix);
      const Result<FileInfo> info = files_.info(folder);
      const bool is_forgotten =
          info.ok() && now_ms() * 1'000'000 - info->modified_ns >= kForgottenNs;
      if (!was_being_removed && !is_forgotten) continue;
    }
    (void)files_.remove_tree(folder);
  }
}

void AssetStore::sweep_locks() {
  const Result<std::vector<DirectoryEntry>> found = files_.list(layout_.locks);
  if (!found.ok()) return;
  for (const DirectoryEntry& entry : *found) {
    const std::string path = join_path(layout_.locks, entry.name);
    if (path == layout_.sweep_lock) continue;
    // Its destructor removes the file.
    (void)KeyLock::acquire(files_, path);
  }
}

std::vector<std::string> AssetStore::entry_names() const {
  std::vector<std::string> names;
  const Result<std::vector<DirectoryEntry>> found = files_.list(layout_.entries);
  if (!found.ok()) return names;
  for (const DirectoryEntry& entry : *found) {
    if (entry.kind == FileKind::kDirectory && is_entry_name(entry.name)) {
      names.push_back(entry.name);
    }
  }
  return names;
}

Status AssetStore::reconcile() {
  std::vector<std::string> damaged;
  COREML_DELEGATE_RETURN_IF_ERROR(
      index_->reconcile(entry_names(), [&](const std::string& name) -> Result<IndexEntry> {
        Result<Manifest> manifest = read_manifest(layout_.entry(name));
        if (manifest.ok() && !is_of(*manifest, name)) {
          manifest = corrupt_data("the manifest belongs to another entry", layout_.entry(name));
        }
        if (manifest.ok()) return index_entry(name, *manifest);
        const StatusCode code = manifest.status().code();
        if (code == StatusCode::kCorruptData || code == StatusCode::kNotFound) {
          damaged.push_back(name);
        }
        return manifest.status();
      }));
  if (mode_ != Mode::kReadWrite) return {};
  for (const std::string& name : damaged) {
    // Nothing else would ever count or remove it. Again, now that nobody can publish or remove it:
    // it may have gone, or come back whole.
    const Result<KeyLock> lock = KeyLock::acquire(files_, layout_.lock(name));
    if (!lock.ok() || !files_.info(layout_.entry(name)).ok()) continue;
    const Result<Manifest> manifest = read_manifest(layout_.entry(name));
    if (manifest.ok() && is_of(*manifest, name)) continue;
    if (!remove_locked(name).ok()) continue;
    ++damaged_;
    COREML_DELEGATE_LOG(kWarning, "compiled model %.12s had a damaged manifest, and was removed",
                        name.c_str());
  }
  return {};
}

}  // namespace coreml_delegate::assets
