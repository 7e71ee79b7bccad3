#include <utility>

#include "base/file.h"
#include "runtime/assets/asset_store.h"
#include "runtime/assets/layout.h"
#include "runtime/delegate/edge.h"
#include "runtime/delegate/error_map.h"
#include "runtime/delegate/options.h"
#include "runtime/delegate/registration.h"
#include "runtime/include/coreml_delegate_cache.h"

namespace coreml_delegate {
namespace {

template <typename T>
using EtResult = executorch::runtime::Result<T>;

// Runs `use` on the stores of the folder; its failure is reported as every failure of the delegate.
template <typename T, typename Use>
EtResult<T> with_stores(const std::string& folder, Use use) {
  const auto run = [&]() -> Result<T> {
    // "default" is one as well.
    DelegateOptions options = process_backend().defaults();
    if (!folder.empty()) options.cache_dir = folder;
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::string path, cache_folder(options));
    if (path.empty()) {
      return not_found("no folder was named, and the option cache_dir is not set", "cache_dir");
    }
    // Opening a store makes its folders, which is not wanted for a path with a slip in it.
    if (!folder.empty()) {
      const Result<FileInfo> info = real_file_system().info(assets::Layout(path).root);
      if (!info.ok())
        return info.status().annotate("the folder is not a cache of compiled models", path);
    }
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<assets::AssetStore*> stores,
                                     process_stored_models().stores(path));
    return use(stores);
  };
  return at_the_edge("use the cache", [&]() -> EtResult<T> {
    Result<T> result = run();
    if (!result.ok())
      return report(result.status().annotate("the cache could not be used", folder));
    return *std::move(result);
  });
}

// The same for what does not matter which of them does it.
template <typename T, typename Use>
EtResult<T> with_store(const std::string& folder, Use use) {
  return with_stores<T>(
      folder, [&](const std::vector<assets::AssetStore*>& stores) { return use(*stores.front()); });
}

CacheRemoved to_public(const assets::Removed& removed) {
  return {.entries = removed.entries, .bytes = removed.bytes, .in_use = removed.in_use};
}

}  // namespace

EtResult<CacheStats> cache_stats(const std::string& folder) {
  using Stores = std::vector<assets::AssetStore*>;
  return with_stores<CacheStats>(folder, [](const Stores& stores) -> Result<CacheStats> {
    const assets::StoreStats first = stores.front()->stats();
    CacheStats sum{.folder = first.folder,
                   .mode = first.mode,
                   .mode_reason = first.mode_reason,
                   .entries = first.entries,
                   .bytes = first.bytes,
                   .budget_bytes = first.budget_bytes,
                   .free_bytes = first.free_bytes,
                   .free_floor_bytes = first.free_floor_bytes};
    for (assets::AssetStore* const store : stores) {
      const assets::StoreStats stats = store->stats();
      sum.hits += stats.hits;
      sum.misses += stats.misses;
      sum.compilations += stats.compilations;
      sum.uncached += stats.uncached;
      sum.evictions += stats.evictions;
      sum.damaged += stats.damaged;
    }
    return sum;
  });
}

EtResult<std::vector<CacheEntry>> cache_list(const std::string& folder) {
  using Entries = std::vector<CacheEntry>;
  return with_store<Entries>(folder, [](assets::AssetStore& store) -> Result<Entries> {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<assets::EntryInfo> infos, store.list());
    Entries entries;
    for (const auto& [entry, is_in_use] : infos) {
      entries.push_back({.name = entry.name,
                         .content = entry.content,
                         .attributes = entry.attributes,
                         .bytes = entry.bytes,
                         .created_ms = entry.created_ms,
                         .last_used_ms = entry.last_used_ms,
                         .is_in_use = is_in_use});
    }
    return entries;
  });
}

EtResult<CacheRemoved> cache_purge(const std::string& folder) { return cache_evict_to(folder, 0); }

EtResult<CacheRemoved> cache_evict_to(const std::string& folder, uint64_t bytes) {
  return with_store<CacheRemoved>(folder, [&](assets::AssetStore& store) -> Result<CacheRemoved> {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const assets::Removed removed, store.evict_to(bytes));
    return to_public(removed);
  });
}

EtResult<CacheRemoved> cache_evict(const std::string& folder, const std::string& name) {
  return with_store<CacheRemoved>(folder, [&](assets::AssetStore& store) -> Result<CacheRemoved> {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const assets::Removed removed, store.evict(name));
    return to_public(removed);
  });
}

EtResult<CacheVerified> cache_verify(const std::string& folder) {
  return with_store<CacheVerified>(folder, [](assets::AssetStore& store) -> Result<CacheVerified> {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const assets::Verified verified, store.verify());
    CacheVerified result{.entries = verified.entries, .bytes = verified.bytes, .damaged = {}};
    for (const Status& status : verified.damaged) result.damaged.push_back(status.to_string());
    return result;
  });
}

}  // namespace coreml_delegate
