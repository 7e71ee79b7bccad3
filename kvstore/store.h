#ifndef COREML_DELEGATE_KVSTORE_STORE_H_
#define COREML_DELEGATE_KVSTORE_STORE_H_

// A persistent map from Key to Value, types with a Codec (kvstore/codec.h).
//
//   using Hits = Store<std::string, int64_t>;
//   COREML_DELEGATE_ASSIGN_OR_RETURN(Hits store, Hits::open(*database, "hits", {}));
//   COREML_DELEGATE_RETURN_IF_ERROR(store.put("a", 1));
//   // nullopt: the store has no such key.
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const std::optional<int64_t> hits, store.get("a"));
//   COREML_DELEGATE_RETURN_IF_ERROR(store.scan({.order = Order::kKey}, [&](const auto& row) {
//     use(row.key, row.value);
//     return true;  // false ends the scan.
//   }));
//
// Reading never changes what is read: only put() and touch() count as an access.
//
// Thread rule and errors: as Database's. A Store may outlive its Database. A store that was made
// with other types or options is failed_precondition.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

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
  std::optional<Key> from = {};
};

template <typename Key, typename Value>
struct Row {
  Key key{};
  Value value{};
  int64_t accessed = 0;  // With track_access: greater is later.
  int64_t size = 0;      // With track_size.
};

template <typename Key, typename Value>
class Store {
 public:
  // Makes the store when it is not there.
  static Result<Store> open(Database& database, const std::string& name,
                            const StoreOptions& options) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        std::unique_ptr<RawStore> raw,
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
    COREML_DELEGATE_RETURN_IF_ERROR(raw_->get(KeyCodec::encode(key, scratch),
                                              [&](const Cell& cell) -> Status {
                                                COREML_DELEGATE_ASSIGN_OR_RETURN(
                                                    value, ValueCodec::decode(cell));
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

  // Visits rows in order until `visit`, a function of const Row&, returns false. The row is good
  // until it returns. It may use the database and change the store: rows are read in pages and none
  // is visited twice by key or by access (one put or touched meanwhile counts as new and is not
  // visited again when ascending by access); one erased before its page was read is not visited. Of
  // a row whose size changes meanwhile, a scan by size may see both or neither.
  template <typename Visit>
  Status scan(const ScanOptions<Key>& options, Visit visit) {
    RawPosition position;
    std::string key_scratch;
    if (options.order == Order::kAccess) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(position.last_number, raw_->last_access());
      position.number = options.descending ? INT64_MAX : 0;
    } else if (options.order == Order::kKey && options.from) {
      position.bound = RawPosition::Bound::kFrom;
      position.key = KeyCodec::encode(*options.from, key_scratch);
    }
    // A page is kept as it came from the database and decoded row by row: what the visitor sees is
    // then as warm as if there were no page.
    RawPage page;
    Row<Key, Value> row;
    do {
      COREML_DELEGATE_RETURN_IF_ERROR(
          raw_->read_page(options.order, options.descending, position, page));
      for (const RawPage::Row& raw : page.rows) {
        COREML_DELEGATE_RETURN_IF_ERROR(decode_into<KeyCodec>(page.key(raw), row.key));
        COREML_DELEGATE_RETURN_IF_ERROR(decode_into<ValueCodec>(page.value(raw), row.value));
        row.accessed = raw.accessed;
        row.size = raw.size;
        if (!visit(std::as_const(row))) return {};
      }
      if (page.rows.empty()) break;
      const RawPage::Row& last = page.rows.back();
      position.bound =
          options.order == Order::kAccess ? RawPosition::Bound::kNone : RawPosition::Bound::kAfter;
      position.number = options.order == Order::kAccess ? last.accessed : last.size;
      key_scratch = page.key(last).bytes;
      position.key = {last.key, key_scratch};
    } while (page.has_more);
    return {};
  }

 private:
  using KeyCodec = Codec<Key>;
  using ValueCodec = Codec<Value>;

  template <typename TheCodec, typename T>
  static Status decode_into(const Cell& cell, T& value) {
    if constexpr (requires { TheCodec::decode_into(cell, value); }) {
      return TheCodec::decode_into(cell, value);
    } else {
      COREML_DELEGATE_ASSIGN_OR_RETURN(value, TheCodec::decode(cell));
      return {};
    }
  }

  explicit Store(std::unique_ptr<RawStore> raw) : raw_(std::move(raw)) {}

  std::unique_ptr<RawStore> raw_;
};

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_STORE_H_
