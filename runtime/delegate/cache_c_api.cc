// The cache's functions for callers that load libcoremldelegate.so by hand.

#include <executorch/runtime/core/error.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"
#include "runtime/delegate/edge.h"
#include "runtime/delegate/error_map.h"
#include "runtime/include/coreml_delegate_c.h"
#include "runtime/include/coreml_delegate_cache.h"

namespace coreml_delegate {
namespace {

using nlohmann::json;

json to_json(const CacheStats& stats) {
  return {{"folder", stats.folder},
          {"mode", stats.mode},
          {"mode_reason", stats.mode_reason},
          {"entries", stats.entries},
          {"bytes", stats.bytes},
          {"budget_bytes", stats.budget_bytes},
          {"free_bytes", stats.free_bytes},
          {"free_floor_bytes", stats.free_floor_bytes},
          {"hits", stats.hits},
          {"misses", stats.misses},
          {"compilations", stats.compilations},
          {"uncached", stats.uncached},
          {"evictions", stats.evictions},
          {"damaged", stats.damaged}};
}

json to_json(const std::vector<CacheEntry>& entries) {
  json list = json::array();
  for (const CacheEntry& entry : entries) {
    list.push_back({{"name", entry.name},
                    {"content", entry.content},
                    {"attributes", entry.attributes},
                    {"bytes", entry.bytes},
                    {"created_ms", entry.created_ms},
                    {"last_used_ms", entry.last_used_ms},
                    {"is_in_use", entry.is_in_use}});
  }
  return list;
}

json to_json(const CacheRemoved& removed) {
  return {{"entries", removed.entries}, {"bytes", removed.bytes}, {"in_use", removed.in_use}};
}

json to_json(const CacheVerified& verified) {
  return {{"entries", verified.entries}, {"bytes", verified.bytes}, {"damaged", verified.damaged}};
}

thread_local std::string last_result;

template <typename T>
uint32_t give(const executorch::runtime::Result<T>& result) {
  if (!result.ok()) return static_cast<uint32_t>(result.error());
  // Paths may be in any encoding.
  last_result = to_json(*result).dump(-1, ' ', false, json::error_handler_t::replace);
  return 0;
}

uint32_t run(std::string_view command, const std::string& folder, const std::string& argument) {
  if (command == "stats") return give(cache_stats(folder));
  if (command == "list") return give(cache_list(folder));
  if (command == "purge") return give(cache_purge(folder));
  if (command == "evict") return give(cache_evict(folder, argument));
  if (command == "verify") return give(cache_verify(folder));
  if (command == "evict_to") {
    uint64_t bytes = 0;
    const char* end = argument.data() + argument.size();
    const auto [rest, error] = std::from_chars(argument.data(), end, bytes);
    if (error == std::errc() && rest == end) return give(cache_evict_to(folder, bytes));
  }
  return static_cast<uint32_t>(report(invalid_argument(
      "the cache has no such command, or the command takes another argument than \"" + argument +
          "\"",
      std::string(command))));
}

}  // namespace
}  // namespace coreml_delegate

uint32_t coreml_delegate_cache(const char* command, const char* folder, const char* argument) {
  return coreml_delegate::at_the_edge("use the cache", [&] {
    return coreml_delegate::run(command ? command : "", folder ? folder : "",
                                argument ? argument : "");
  });
}

const char* coreml_delegate_cache_result(void) { return coreml_delegate::last_result.c_str(); }
