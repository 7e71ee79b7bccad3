#ifndef COREML_DELEGATE_KVSTORE_STORE_H_
#define COREML_DELEGATE_KVSTORE_STORE_H_

// A persistent map from Key to Value, types with a Codec (kvstore/codec.h).
//
//   ASSIGN_OR_RETURN(auto store, Store<std::string, int64_t>::open(*database, "hits", {}));
//   RETURN_IF_ERROR(store.put("a", 1));
//   ASSIGN_OR_RETURN(const std::optional<int64_t> hits, store.get("a"));       // Not there:
//   nullopt. RETURN_IF_ERROR(store.scan({.order = Order::kKey}, [&](const auto& row) {
//     use(row.key, row.value);
//     return true;                                                              // false: enough.
//   }));
//
// Reading never changes what is read: only put() and touch() count as an access.
//
// Thread rule and errors: as Database's. A Store may outlive its Database. A store that was made
// with other types or options is failed_precondition.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kvstore/codec.h"
#include "kvstore/database.h"
#include "kvstore/raw_store.h"

namespace coreml_delegate::kvstore {

template <typename Key>
struct ScanOptions {
  Order order = Order::kKey;
  bool descending = false;
  // With Order::kKey: the first key that is visited, whether or not it is there.
  std::optional<Key> from;
};

template <typename Key, typename Value>
struct Row {
  Key key;
  Value value;
  int64_t accessed = 0;  // With track_access: greater is later.
  int64_t size = 0;      // With track_size.
};

template <typename Key, typename Value>
class Store {
 public:
  // Makes the store when it is not there.
  static Result<Store> open(Database& database, const std::string& name,
                            const StoreOptions& options) {
    ASSIGN_OR_RETURN(std::unique_ptr<RawStore> raw,
                     RawStore::open(database, {.name = name,
                                               .key_type = KeyCodec::kType,
                                               .key_codec = std::string(KeyCodec::kName),
                                               .value_type = ValueCodec::kType,
                                               .value_codec = std::string(ValueCodec::kName),
                                               .options = options}));
    return Store(std::move(raw));
  }

  // Inserts or replaces. `size`: with track_size, what the row counts for, not negative; without
  // it, the bytes of key and value.
  Status put(const Key& key, const Value& value, std::optional<int64_t> size = std::nullopt) {
    std::string key_scratch;
    std::string value_scratch;
    return raw_->put(KeyCodec::encode(key, key_scratch), ValueCodec::encode(value, value_scratch),
                     size);
  }
  Result<std::optional<Value>> get(const Key& key) {
    std::string scratch;
    std::optional<Value> value;
    RETURN_IF_ERROR(raw_->get(KeyCodec::encode(key, scratch),
                              [&](const Cell& cell) -> Status {
                                ASSIGN_OR_RETURN(value, ValueCodec::decode(cell));
                                return {};
                              })
                        .status());
    return value;
  }
  Result<bool> exists(const Key& key) {
    std::string scratch;
    return raw_->exists(KeyCodec::encode(key, scratch));
  }
  // Whether it was there.
  Result<bool> erase(const Key& key) {
    std::string scratch;
    return raw_->erase(KeyCodec::encode(key, scratch));
  }
  // Makes it the last one accessed; whether it is there. Needs track_access.
  Result<bool> touch(const Key& key) {
    std::string scratch;
    return raw_->touch(KeyCodec::encode(key, scratch));
  }
  Status clear() { return raw_->clear(); }
  // Rows.
  Result<int64_t> size() { return raw_->count(); }
  // Sum of the rows' sizes. Needs track_size.
  Result<int64_t> total_size() { return raw_->total_size(); }

  // Visits rows in order until `visit`, a function of const Row&, returns false. It may use the
  // database and change the store: rows are read in pages and none is visited twice by key or by
  // access (one put or touched meanwhile counts as new and is not visited again when ascending by
  // access); one erased before its page was read is not visited. Of a row whose size changes
  // meanwhile, a scan by size may see both or neither.
  template <typename Visit>
  Status scan(const ScanOptions<Key>& options, Visit visit) {
    RawPosition position;
    std::string key_scratch;
    if (options.order == Order::kAccess) {
      ASSIGN_OR_RETURN(position.last_number, raw_->last_access());
      position.number = options.descending ? INT64_MAX : 0;
    } else if (options.order == Order::kKey && options.from) {
      position.bound = RawPosition::Bound::kFrom;
      position.key = KeyCodec::encode(*options.from, key_scratch);
    }
    std::vector<Row<Key, Value>> page;
    for (;;) {
      page.clear();
      size_t bytes = 0;
      bool more = false;
      RETURN_IF_ERROR(raw_->scan_page(
          options.order, options.descending, position, kPageRows,
          [&](const RawRow& raw) -> Result<bool> {
            ASSIGN_OR_RETURN(Key key, KeyCodec::decode(raw.key));
            ASSIGN_OR_RETURN(Value value, ValueCodec::decode(raw.value));
            page.push_back({std::move(key), std::move(value), raw.accessed, raw.size});
            bytes += raw.key.bytes.size() + raw.value.bytes.size();
            more = page.size() == kPageRows || bytes >= kPageBytes;
            return !more;
          }));
      for (const Row<Key, Value>& row : page) {
        if (!visit(row)) return {};
      }
      if (!more) return {};
      advance(page, position, key_scratch, options.order);
    }
  }

 private:
  using KeyCodec = Codec<Key>;
  using ValueCodec = Codec<Value>;
  static constexpr size_t kPageRows = 256;
  static constexpr size_t kPageBytes = size_t{1} << 20;

  explicit Store(std::unique_ptr<RawStore> raw) : raw_(std::move(raw)) {}

  // Moves `position` behind the page's last row. `scratch` then holds the key's bytes.
  static void advance(const std::vector<Row<Key, Value>>& page, RawPosition& position,
                      std::string& scratch, Order order) {
    const Row<Key, Value>& last = page.back();
    position.bound =
        order == Order::kAccess ? RawPosition::Bound::kNone : RawPosition::Bound::kAfter;
    position.number = order == Order::kAccess ? last.accessed : last.size;
    std::string own;
    const Cell cell = KeyCodec::encode(last.key, own);
    // The key may point into the row or into `own`: either goes away.
    std::string kept(cell.bytes);
    scratch.swap(kept);
    position.key = {cell.integer, scratch};
  }

  std::unique_ptr<RawStore> raw_;
};

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_STORE_H_
