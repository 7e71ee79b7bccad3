#ifndef COREML_DELEGATE_RUNTIME_ASSETS_ASSET_INDEX_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_ASSET_INDEX_H_

// What the store remembers about its entries besides what the files say: sizes and the order of
// last use. The files are the truth; an index that is lost, damaged, busy or in the way costs the
// order of use and nothing else, so failures are for the log.
//
// Thread rule: as kvstore's: several threads and processes at once.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kvstore/database.h"
#include "kvstore/store.h"
#include "runtime/assets/manifest.h"

namespace coreml_delegate::assets {

struct IndexEntry {
  std::string name;  // The entry's folder, without what is above it.
  Attributes attributes;
  std::string content;  // Hexadecimal.
  uint64_t bytes = 0;
  int64_t created_ms = 0;
  int64_t last_used_ms = 0;
};

IndexEntry index_entry(const std::string& name, const Manifest& manifest);

}  // namespace coreml_delegate::assets

// As JSON.
template <>
struct coreml_delegate::kvstore::Codec<coreml_delegate::assets::IndexEntry> {
  static constexpr CellType kType = CellType::kString;
  static constexpr std::string_view kName = "asset 2";
  static Cell encode(const assets::IndexEntry& entry, std::string& scratch);
  static Result<assets::IndexEntry> decode(const Cell& cell);
};

namespace coreml_delegate::assets {

class AssetIndex {
 public:
  // At `path`, a damaged one and one of an earlier format replaced; in memory when `path` is empty
  // or cannot be used.
  static Result<std::unique_ptr<AssetIndex>> open(const std::string& path);

  // Inserts or replaces, and makes it the one used last.
  Status put(const IndexEntry& entry);
  // Makes it the one used last; nothing when it is not there.
  Status touch(const std::string& name);
  Status erase(const std::string& name);
  // Least recently used first.
  Result<std::vector<IndexEntry>> list();
  Result<uint64_t> total_bytes();
  // Makes the index say what the files do: `names` are the entries there are, and `read` gives what
  // is not known yet.
  Status reconcile(const std::vector<std::string>& names,
                   const std::function<Result<IndexEntry>(const std::string& name)>& read);

  bool is_in_memory() const { return is_in_memory_; }

 private:
  using Store = kvstore::Store<std::string, IndexEntry>;
  AssetIndex(std::unique_ptr<kvstore::Database> database, Store store, bool is_in_memory)
      : database_(std::move(database)), store_(std::move(store)), is_in_memory_(is_in_memory) {}
  static Result<std::unique_ptr<AssetIndex>> over(
      Result<std::unique_ptr<kvstore::Database>> database, bool is_in_memory);

  const std::unique_ptr<kvstore::Database> database_;
  Store store_;
  const bool is_in_memory_;
};

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_ASSET_INDEX_H_
