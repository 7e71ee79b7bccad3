// coreml-cache: shows and clears a folder of compiled models (docs/assets.md).
//
//   coreml-cache stats  FOLDER            what it holds
//   coreml-cache list   FOLDER            every entry, most recently used first
//   coreml-cache verify FOLDER            compares every checksum; damaged entries are removed
//   coreml-cache evict  FOLDER NAME       removes one entry, by the beginning of its name
//   coreml-cache shrink FOLDER BYTES      removes the least recently used until BYTES are left
//   coreml-cache purge  FOLDER            removes everything that nobody uses
//
// With --json, prints JSON. Exits with 0; 1 when something failed, or verify found damage; 2 for a
// wrong command line. Nothing is made: the folder must be one that has been used as a cache.

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "runtime/assets/asset_store.h"

namespace coreml_delegate {
namespace {

using assets::AssetStore;
using nlohmann::json;

constexpr char kUsage[] =
    "usage: coreml-cache [--json] stats|list|verify|purge FOLDER\n"
    "       coreml-cache [--json] evict FOLDER NAME\n"
    "       coreml-cache [--json] shrink FOLDER BYTES\n";

std::string size_text(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string time_text(int64_t ms) {
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  char text[32];
  if (::gmtime_r(&seconds, &parts) == nullptr ||
      std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts) == 0) {
    return "?";
  }
  return text;
}

// "engine portable, function main"; what is too long for a line is in the JSON only.
std::string attributes_text(const assets::Attributes& attributes) {
  constexpr size_t kLongest = 40;
  std::string text;
  for (const auto& [name, value] : attributes) {
    if (value.empty() || value.size() > kLongest) continue;
    text += (text.empty() ? "" : ", ") + name + " " + value;
  }
  return text;
}

void print_json(const json& value) {
  std::puts(value.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

void show_stats(AssetStore& store, bool as_json) {
  const assets::StoreStats stats = store.stats();
  if (as_json) {
    print_json({{"folder", stats.folder},
                {"mode", stats.mode},
                {"mode_reason", stats.mode_reason},
                {"entries", stats.entries},
                {"bytes", stats.bytes},
                {"free_bytes", stats.free_bytes},
                {"damaged", stats.damaged}});
    return;
  }
  std::printf("folder   %s\nmode     %s%s%s\nentries  %llu\nsize     %s\nfree     %s\n",
              stats.folder.c_str(), stats.mode.c_str(), stats.mode_reason.empty() ? "" : ": ",
              stats.mode_reason.c_str(), static_cast<unsigned long long>(stats.entries),
              size_text(stats.bytes).c_str(), size_text(stats.free_bytes).c_str());
}

Status show_list(AssetStore& store, bool as_json) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<assets::EntryInfo> infos, store.list());
  json list = json::array();
  if (!as_json) {
    std::printf("%-14s %10s  %-19s  %-6s  %-14s %s\n", "NAME", "SIZE", "LAST USED (UTC)", "IN USE",
                "MODEL", "COMPILED FOR");
  }
  for (const auto& [entry, is_in_use] : infos) {
    if (as_json) {
      list.push_back({{"name", entry.name},
                      {"content", entry.content},
                      {"attributes", entry.attributes},
                      {"bytes", entry.bytes},
                      {"created_ms", entry.created_ms},
                      {"last_used_ms", entry.last_used_ms},
                      {"is_in_use", is_in_use}});
      continue;
    }
    std::printf("%-14.14s %10s  %-19s  %-6s  %-14.14s %s\n", entry.name.c_str(),
                size_text(entry.bytes).c_str(), time_text(entry.last_used_ms).c_str(),
                is_in_use ? "yes" : "no", entry.content.c_str(),
                attributes_text(entry.attributes).c_str());
  }
  if (as_json) print_json(list);
  return {};
}

void show_removed(const assets::Removed& removed, bool as_json) {
  if (as_json) {
    print_json(
        {{"entries", removed.entries}, {"bytes", removed.bytes}, {"in_use", removed.in_use}});
    return;
  }
  std::printf("removed %llu entries (%s); %llu stayed, being in use\n",
              static_cast<unsigned long long>(removed.entries), size_text(removed.bytes).c_str(),
              static_cast<unsigned long long>(removed.in_use));
}

Status show_verified(AssetStore& store, bool as_json) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const assets::Verified verified, store.verify());
  std::vector<std::string> damaged;
  for (const Status& status : verified.damaged) damaged.push_back(status.to_string());
  if (as_json) {
    print_json({{"entries", verified.entries}, {"bytes", verified.bytes}, {"damaged", damaged}});
  } else {
    std::printf("verified %llu entries (%s), %zu damaged\n",
                static_cast<unsigned long long>(verified.entries),
                size_text(verified.bytes).c_str(), damaged.size());
    for (const std::string& text : damaged) std::printf("  %s\n", text.c_str());
  }
  if (damaged.empty()) return {};
  return corrupt_data(std::to_string(damaged.size()) + " damaged entries were found");
}

Status run(const std::vector<std::string>& words, bool as_json) {
  const std::string& command = words[0];
  const std::string& folder = words[1];
  const Result<FileInfo> info = real_file_system().info(join_path(folder, "coreml-delegate-1"));
  if (!info.ok())
    return info.status().annotate("the folder is not a cache of compiled models", folder);
  assets::AssetStoreOptions options;
  options.folder = folder;
  // Looking must not evict: whoever uses the folder has a budget of its own.
  options.budget_bytes = UINT64_MAX;
  options.free_floor_bytes = 0;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<AssetStore> store,
                                   AssetStore::open(options));
  if (command == "stats") {
    show_stats(*store, as_json);
    return {};
  }
  if (command == "list") return show_list(*store, as_json);
  if (command == "verify") return show_verified(*store, as_json);
  uint64_t bytes = 0;
  if (command == "shrink") {
    const char* end = words[2].data() + words[2].size();
    const auto [rest, error] = std::from_chars(words[2].data(), end, bytes);
    if (error != std::errc() || rest != end) {
      return invalid_argument("shrink takes a number of bytes", words[2]);
    }
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const assets::Removed removed, command == "evict"
                                                                      ? store->evict(words[2])
                                                                      : store->evict_to(bytes));
  show_removed(removed, as_json);
  return {};
}

int main(int argc, char** argv) {
  set_log_level(LogLevel::kError);
  bool as_json = false;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--json") {
      as_json = true;
    } else {
      words.push_back(word);
    }
  }
  const bool takes_two = !words.empty() && (words[0] == "evict" || words[0] == "shrink");
  const bool takes_one = !words.empty() && (words[0] == "stats" || words[0] == "list" ||
                                            words[0] == "verify" || words[0] == "purge");
  if (!(takes_two && words.size() == 3) && !(takes_one && words.size() == 2)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const Status status = run(words, as_json);
  if (status.ok()) return 0;
  std::fprintf(stderr, "coreml-cache: %s\n", status.to_string().c_str());
  return 1;
}

}  // namespace
}  // namespace coreml_delegate

int main(int argc, char** argv) { return coreml_delegate::main(argc, argv); }
