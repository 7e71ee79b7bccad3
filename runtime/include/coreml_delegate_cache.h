#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_CACHE_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_CACHE_H_

// Looking at and clearing the compiled models that are kept on disk (the option cache_dir,
// docs/assets.md).
//
//   const auto stats = coreml_delegate::cache_stats("/data/cache");
//   if (stats.ok() && stats->bytes > limit) {
//     (void)coreml_delegate::cache_evict_to("/data/cache", limit);
//   }
//
// `folder` is what cache_dir was set to; empty: the process's own default
// (executorch::runtime::set_option("CoreMLBackend", ...)), NotFound when there is none. What any
// process has open is never removed.
//
// Thread rule: everything may be called from several threads and processes at once. After an error
// last_error() has the message.

#include <executorch/runtime/core/error.h>
#include <executorch/runtime/core/result.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace coreml_delegate {

struct CacheStats {
  std::string folder;
  // "read-write"; "read-only"; "private" (nothing is kept: the volume has no locks); "off".
  std::string mode;
  std::string mode_reason;  // Empty for read-write.
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t budget_bytes = 0;
  uint64_t free_bytes = 0;        // Of the volume.
  uint64_t free_floor_bytes = 0;  // Nothing is added while less is free.
  // Of this process.
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t compilations = 0;
  uint64_t uncached = 0;  // Loads that went on without the cache.
  uint64_t evictions = 0;
  uint64_t damaged = 0;  // Entries found damaged, removed and compiled again.
};

struct CacheEntry {
  std::string name;     // 64 hexadecimal digits.
  std::string content;  // The model's SHA-256, hexadecimal.
  // What it was compiled for, by name: "engine", "fingerprint", "function", "platform", and what
  // else the engine's compiled form depends on.
  std::map<std::string, std::string> attributes;
  uint64_t bytes = 0;
  int64_t created_ms = 0;    // Milliseconds since 1970 (UTC).
  int64_t last_used_ms = 0;  // The same.
  bool is_in_use = false;    // By any process.
};

struct CacheRemoved {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t in_use = 0;  // Entries that stayed because somebody has them open.
};

struct CacheVerified {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  // What is wrong with each entry that was damaged; those nobody uses were removed.
  std::vector<std::string> damaged;
};

executorch::runtime::Result<CacheStats> cache_stats(const std::string& folder = "");
// Most recently used first.
executorch::runtime::Result<std::vector<CacheEntry>> cache_list(const std::string& folder = "");
// Removes every entry that nobody uses.
executorch::runtime::Result<CacheRemoved> cache_purge(const std::string& folder = "");
// Removes the least recently used entries until at most `bytes` are left.
executorch::runtime::Result<CacheRemoved> cache_evict_to(const std::string& folder, uint64_t bytes);
// Removes one entry, by its name or the beginning of it. NotFound; InvalidState when it is in use.
executorch::runtime::Result<CacheRemoved> cache_evict(const std::string& folder,
                                                      const std::string& name);
// Reads every file and compares its checksums.
executorch::runtime::Result<CacheVerified> cache_verify(const std::string& folder = "");

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_CACHE_H_
