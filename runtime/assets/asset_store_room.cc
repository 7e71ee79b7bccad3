// Keeping a store within its bounds, and showing and removing what is in it.

#include <algorithm>
#include <set>
#include <utility>

#include "base/logging.h"
#include "runtime/assets/asset_store.h"

namespace coreml_delegate::assets {

uint64_t AssetStore::free_bytes() const {
  const Result<SpaceInfo> space = files_.space(layout_.root);
  return space.ok() ? space->free_bytes : UINT64_MAX;
}

bool AssetStore::fits(const Limits& limits) const {
  const Result<uint64_t> total = index_->total_bytes();
  return (!total.ok() || *total <= limits.bytes) && free_bytes() >= limits.free_bytes;
}

Status AssetStore::remove_locked(const std::string& name) {
  const std::string folder = layout_.entry(name);
  // Held until the files are gone. Without a lease file nobody can be using the entry.
  const Result<std::unique_ptr<FileLock>> lease =
      files_.try_lock(join_path(folder, kLeaseFile), LockMode::kExclusive, MissingLock::kRefuse);
  if (!lease.ok() && lease.status().code() != StatusCode::kNotFound) {
    return lease.status().annotate("the entry is in use, and cannot be removed", folder);
  }
  const std::string trash = join_path(layout_.trash, name + "." + make_nonce());
  const Status moved = files_.rename(folder, trash);
  if (!moved.ok() && moved.code() != StatusCode::kNotFound) return moved;
  const Status forgotten = index_->erase(name);
  if (!forgotten.ok()) log_once("index", forgotten.to_string());
  if (!moved.ok()) return {};
  // First the move, then the removal: else a loss of power could bring back half an entry. One
  // whose move cannot be synced is removed by a later sweep.
  COREML_DELEGATE_RETURN_IF_ERROR(files_.sync_directory(layout_.trash));
  COREML_DELEGATE_RETURN_IF_ERROR(files_.sync_directory(layout_.entries));
  (void)files_.remove_tree(trash);
  return {};
}

Status AssetStore::remove_entry(const std::string& name) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const KeyLock lock,
                                   KeyLock::acquire(files_, layout_.lock(name)));
  return remove_locked(name);
}

Result<Removed> AssetStore::make_room(const Limits& limits, const std::string& keep) {
  Removed removed;
  if (mode_ != Mode::kReadWrite) return removed;
  if (fits(limits)) return removed;
  // What others have added or removed without telling this index.
  COREML_DELEGATE_RETURN_IF_ERROR(reconcile());
  if (fits(limits)) return removed;
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::vector<IndexEntry> entries, index_->list());
  std::map<std::string, std::string> used_here;
  {
    const MutexLock lock(mutex_);
    used_here = current_;
  }
  // What an engine of this process would not find again goes first.
  std::stable_partition(entries.begin(), entries.end(), [&](const IndexEntry& entry) {
    const auto engine = entry.attributes.find(kEngineAttribute);
    const auto fingerprint = entry.attributes.find(kFingerprintAttribute);
    if (engine == entry.attributes.end() || fingerprint == entry.attributes.end()) return false;
    const auto used = used_here.find(engine->second);
    return used != used_here.end() && used->second != fingerprint->second;
  });
  for (const IndexEntry& entry : entries) {
    if (fits(limits)) break;
    if (entry.name == keep) continue;
    const Status status = remove_entry(entry.name);
    if (!status.ok()) {
      ++removed.in_use;
      continue;
    }
    ++removed.entries;
    ++evictions_;
    removed.bytes += entry.bytes;
    COREML_DELEGATE_LOG(kInfo, "compiled model %.12s: evicted, %llu bytes", entry.name.c_str(),
                        static_cast<unsigned long long>(entry.bytes));
  }
  return removed;
}

StoreStats AssetStore::stats() {
  StoreStats stats;
  stats.folder = options_.folder;
  stats.mode = mode_ == Mode::kReadWrite  ? "read-write"
               : mode_ == Mode::kReadOnly ? "read-only"
               : mode_ == Mode::kPrivate  ? "private"
                                          : "off";
  stats.mode_reason = mode_reason_;
  if (mode_ == Mode::kReadWrite || mode_ == Mode::kReadOnly) {
    (void)reconcile();
    const Result<std::vector<IndexEntry>> entries = index_->list();
    if (entries.ok()) stats.entries = entries->size();
    stats.bytes = index_->total_bytes().ok() ? *index_->total_bytes() : 0;
    stats.free_bytes = free_bytes();
  }
  stats.budget_bytes = options_.budget_bytes;
  stats.free_floor_bytes = options_.free_floor_bytes;
  stats.hits = hits_;
  stats.misses = misses_;
  stats.compilations = compilations_;
  stats.uncached = uncached_;
  stats.evictions = evictions_;
  stats.damaged = damaged_;
  return stats;
}

Result<std::vector<EntryInfo>> AssetStore::list() {
  COREML_DELEGATE_RETURN_IF_ERROR(reconcile());
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::vector<IndexEntry> entries, index_->list());
  std::vector<EntryInfo> infos;
  for (IndexEntry& entry : entries) {
    const Result<std::unique_ptr<FileLock>> lease =
        files_.try_lock(join_path(layout_.entry(entry.name), kLeaseFile), LockMode::kExclusive,
                        MissingLock::kRefuse);
    const bool is_in_use = !lease.ok() && lease.status().code() == StatusCode::kFailedPrecondition;
    infos.push_back({std::move(entry), is_in_use});
  }
  std::reverse(infos.begin(), infos.end());
  return infos;
}

Result<Removed> AssetStore::evict_to(uint64_t bytes) {
  if (mode_ != Mode::kReadWrite) {
    return failed_precondition("nothing can be removed: " + mode_reason_, options_.folder);
  }
  return make_room({.bytes = bytes, .free_bytes = 0}, "");
}

Result<Removed> AssetStore::purge() { return evict_to(0); }

Result<Removed> AssetStore::evict(const std::string& name) {
  if (mode_ != Mode::kReadWrite) {
    return failed_precondition("nothing can be removed: " + mode_reason_, options_.folder);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(reconcile());
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<IndexEntry> entries, index_->list());
  const IndexEntry* chosen = nullptr;
  for (const IndexEntry& entry : entries) {
    if (name.empty() || !entry.name.starts_with(name)) continue;
    if (chosen != nullptr) {
      return invalid_argument(
          "the names of several entries begin with this; write more of the name", name);
    }
    chosen = &entry;
  }
  if (chosen == nullptr) return not_found("the store has no entry with this name", name);
  COREML_DELEGATE_RETURN_IF_ERROR(remove_entry(chosen->name));
  ++evictions_;
  return Removed{.entries = 1, .bytes = chosen->bytes, .in_use = 0};
}

Result<Verified> AssetStore::verify() {
  if (mode_ != Mode::kReadWrite && mode_ != Mode::kReadOnly) {
    return failed_precondition("there is nothing to verify: " + mode_reason_, options_.folder);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(reconcile());
  Verified verified;
  for (const std::string& name : entry_names()) {
    const std::string folder = layout_.entry(name);
    // While it is held nobody publishes or removes the entry. Whoever holds it instead is about to,
    // and then this verification has nothing to remove.
    const Result<KeyLock> key_lock = KeyLock::acquire(files_, layout_.lock(name));
    Status damage;
    {
      const Result<std::unique_ptr<FileLock>> lease =
          files_.try_lock(join_path(folder, kLeaseFile), LockMode::kShared, MissingLock::kRefuse);
      if (!lease.ok() && lease.status().code() != StatusCode::kNotFound) continue;
      if (!lease.ok() && !files_.info(folder).ok()) continue;  // Removed meanwhile.
      const Result<Manifest> manifest = read_manifest(folder);
      damage = !lease.ok()      ? lease.status()
               : !manifest.ok() ? manifest.status()
                                : verify_folder(files_, join_path(folder, kContentFolder),
                                                *manifest, VerifyDepth::kFull);
      ++verified.entries;
      if (manifest.ok()) verified.bytes += manifest->total_bytes();
    }
    if (damage.ok()) continue;
    ++damaged_;
    const Status removed = key_lock.ok() ? remove_locked(name) : key_lock.status();
    verified.damaged.push_back(
        removed.ok() ? damage
                     : removed.annotate_as(
                           StatusCode::kCorruptData,
                           "a damaged entry could not be removed: " + damage.to_string(), folder));
  }
  return verified;
}

}  // namespace coreml_delegate::assets
