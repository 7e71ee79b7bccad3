#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_CACHE_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_CACHE_H_

// Shows and clears the compiled models that are kept on disk (the option cache_dir, docs/assets.md).
//
//   const auto stats = coreml_delegate::cache_stats("/data/cache");
//   if (stats.ok() && stats->bytes > limit) {
//     (void)coreml_delegate::cache_evict_to("/data/cache", limit);
//   }
//
// `folder` is the folder that cache_dir was set to. If it is empty, it is the process's own default
// (executorch::runtime::set_option("CoreMLBackend", ...)); without a default, the functions return
// NotFound. An entry that any process has open is never removed.
//
// Thread rule: every function may be called from several threads and processes at once. After an
// error coreml_delegate::last_error() has the message.

#include <executorch/runtime/core/error.h>
#include <executorch/runtime/core/result.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace coreml_delegate {

struct CacheStats {
  std::string folder;
  // "read-write"; "read-only"; "private", where nothing is kept because the volume has no locks; or
  // "off".
  std::string mode;
  std::string mode_reason;  // Why the mode is not read-write.
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t budget_bytes = 0;
  uint64_t free_bytes = 0;        // Free on the volume.
  uint64_t free_floor_bytes = 0;  // Nothing is added while less than this is free.
  // Counted in this process since it started:
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t compilations = 0;
  uint64_t uncached = 0;  // Loads that went on without the cache.
  uint64_t evictions = 0;
  uint64_t damaged = 0;  // Entries that were damaged, and were removed and compiled again.
};

struct CacheEntry {
  std::string name;     // 64 hexadecimal digits.
  std::string content;  // The model's SHA-256, hexadecimal.
  // What the entry was compiled for, by name: "engine", "fingerprint", "function", "platform", and
  // whatever else the compiled form depends on in this engine.
  std::map<std::string, std::string> attributes;
  uint64_t bytes = 0;
  int64_t created_ms = 0;    // Milliseconds since 1970 (UTC).
  int64_t last_used_ms = 0;  // Milliseconds since 1970 (UTC).
  bool is_in_use = false;    // Whether any process has it open.
};

struct CacheRemoved {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t in_use = 0;  // Entries that were not removed because a process has them open.
};

struct CacheVerified {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  // For each damaged entry, what is wrong with it. Those that nobody uses were removed.
  std::vector<std::string> damaged;
};

executorch::runtime::Result<CacheStats> cache_stats(const std::string& folder = "");
// Returns every entry, the most recently used first.
executorch::runtime::Result<std::vector<CacheEntry>> cache_list(const std::string& folder = "");
// Removes every entry that nobody uses.
executorch::runtime::Result<CacheRemoved> cache_purge(const std::string& folder = "");
// Removes the least recently used entries until at most `bytes` are left.
executorch::runtime::Result<CacheRemoved> cache_evict_to(const std::string& folder, uint64_t bytes);
// Removes one entry, which is named by the beginning of its name. Returns NotFound if there is no
// such entry, and InvalidState if it is in use.
executorch::runtime::Result<CacheRemoved> cache_evict(const std::string& folder,
                                                      const std::string& name);
// Reads every file, compares its checksums, and removes the damaged entries that nobody uses.
executorch::runtime::Result<CacheVerified> cache_verify(const std::string& folder = "");

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_CACHE_H_
