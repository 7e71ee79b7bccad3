#include "runtime/assets/asset_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/logging.h"

namespace coreml_delegate {

kvstore::Cell kvstore::Codec<assets::IndexEntry>::encode(const assets::IndexEntry& entry,
                                                         std::string& scratch) {
  const nlohmann::json json = {
      {"name", entry.name},
      {"attributes", entry.attributes},
      {"content", entry.content},
      {"bytes", entry.bytes},
      {"created_ms", entry.created_ms},
      {"last_used_ms", entry.last_used_ms},
  };
  scratch = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return {0, scratch};
}

Result<assets::IndexEntry> kvstore::Codec<assets::IndexEntry>::decode(const Cell& cell) {
  const nlohmann::json json =
      nlohmann::json::parse(cell.bytes, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return corrupt_data("a row of the index is not a JSON object");
  const auto text = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto number = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  assets::IndexEntry entry{.name = text("name"),
                           .attributes = {},
                           .content = text("content"),
                           .bytes = static_cast<uint64_t>(number("bytes")),
                           .created_ms = number("created_ms"),
                           .last_used_ms = number("last_used_ms")};
  if (entry.name.empty()) return corrupt_data("a row of the index has no name");
  const auto attributes = json.find("attributes");
  if (attributes == json.end() || !attributes->is_object()) {
    return corrupt_data("a row of the index has no attributes");
  }
  for (const auto& [name, value] : attributes->items()) {
    if (value.is_string()) entry.attributes.emplace(name, value.get<std::string>());
  }
  return entry;
}

namespace assets {
namespace {

// Longer than any transaction of another process; a load must not wait for an index.
constexpr std::chrono::milliseconds kBusyTimeout{500};

constexpr char kStoreName[] = "entries";
constexpr int32_t kSchemaVersion = 2;  // 1: rows of one member for each option.

// What is lost with an index is the order of use: the rest is in the manifests.
Status start_anew(kvstore::Database& database, int32_t from_version) {
  COREML_DELEGATE_LOG(kInfo,
                      "the index of compiled models has the earlier format %d, and is made again "
                      "from the entries in the folder",
                      static_cast<int>(from_version));
  return database.drop_store(kStoreName);
}

// The store's sizes are int64_t; no disk holds more.
int64_t row_size(const IndexEntry& entry) {
  return static_cast<int64_t>(std::min<uint64_t>(entry.bytes, INT64_MAX / 1024));
}

}  // namespace

IndexEntry index_entry(const std::string& name, const Manifest& manifest) {
  return {.name = name,
          .attributes = manifest.key.attributes,
          .content = to_hex(manifest.key.content),
          .bytes = manifest.total_bytes(),
          .created_ms = manifest.created_ms,
          .last_used_ms = manifest.created_ms};
}

Result<std::unique_ptr<AssetIndex>> AssetIndex::over(
    Result<std::unique_ptr<kvstore::Database>> database, bool is_in_memory) {
  if (!database.ok()) return database.status();
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      Store store, Store::open(**database, kStoreName, {.track_access = true, .track_size = true}));
  return std::unique_ptr<AssetIndex>(
      new AssetIndex(*std::move(database), std::move(store), is_in_memory));
}

Result<std::unique_ptr<AssetIndex>> AssetIndex::open(const std::string& path) {
  if (!path.empty()) {
    Result<std::unique_ptr<AssetIndex>> index =
        over(kvstore::Database::open(path, {.busy_timeout = kBusyTimeout,
                                            .if_damaged = kvstore::IfDamaged::kStartEmpty,
                                            .check_when_opening = true,
                                            .schema_version = kSchemaVersion,
                                            .migrate = start_anew}),
             false);
    if (index.ok()) return index;
    COREML_DELEGATE_LOG(
        kWarning,
        "the index of compiled models cannot be used, so an index in memory is used instead: %s",
        index.status().to_string().c_str());
  }
  return over(kvstore::Database::open_in_memory(), true);
}

Status AssetIndex::put(const IndexEntry& entry) {
  return store_.put(entry.name, entry, row_size(entry));
}

Status AssetIndex::touch(const std::string& name) {
  return database_->atomically([&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(std::optional<IndexEntry> entry, store_.get(name));
    if (!entry) return {};
    entry->last_used_ms = now_ms();
    return put(*entry);
  });
}

Status AssetIndex::erase(const std::string& name) { return store_.erase(name).status(); }

Result<std::vector<IndexEntry>> AssetIndex::list() {
  std::vector<IndexEntry> entries;
  COREML_DELEGATE_RETURN_IF_ERROR(
      store_.scan({.order = kvstore::Order::kAccess}, [&](const auto& row) {
        entries.push_back(row.value);
        return true;
      }));
  return entries;
}

Result<uint64_t> AssetIndex::total_bytes() {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const int64_t total, store_.total_size());
  return static_cast<uint64_t>(total);
}

Status AssetIndex::reconcile(
    const std::vector<std::string>& names,
    const std::function<Result<IndexEntry>(const std::string& name)>& read) {
  const std::set<std::string> there(names.begin(), names.end());
  std::set<std::string> known;
  std::vector<std::string> gone;
  COREML_DELEGATE_RETURN_IF_ERROR(store_.scan({}, [&](const auto& row) {
    // A row that says it is another entry's is none.
    if (there.contains(row.key) && row.value.name == row.key) {
      known.insert(row.key);
    } else {
      gone.push_back(row.key);
    }
    return true;
  }));
  std::vector<IndexEntry> added;
  for (const std::string& name : there) {
    if (known.contains(name)) continue;
    const Result<IndexEntry> entry = read(name);
    if (entry.ok()) added.push_back(*entry);
  }
  if (gone.empty() && added.empty()) return {};
  // When they were made is what is left of the order in which they were used.
  std::stable_sort(added.begin(), added.end(), [](const IndexEntry& a, const IndexEntry& b) {
    return a.created_ms < b.created_ms;
  });
  return database_->atomically([&]() -> Status {
    for (const std::string& name : gone) COREML_DELEGATE_RETURN_IF_ERROR(erase(name));
    for (const IndexEntry& entry : added) COREML_DELEGATE_RETURN_IF_ERROR(put(entry));
    return {};
  });
}

}  // namespace assets
}  // namespace coreml_delegate
