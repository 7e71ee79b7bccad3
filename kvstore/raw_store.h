#ifndef COREML_DELEGATE_KVSTORE_RAW_STORE_H_
#define COREML_DELEGATE_KVSTORE_RAW_STORE_H_

// A store in terms of cells: what Store<Key, Value> of any types stands on. The tables are
//
//   kv_catalog(number, name, key_type, key_codec, value_type, value_codec, tracks)
//   kv_<number>(key, value [, accessed] [, size])
//
// Thread rule: as Database's.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "kvstore/codec.h"
#include "kvstore/connection.h"
#include "kvstore/database.h"

namespace coreml_delegate::kvstore {

struct StoreOptions {
  // Numbers every put and touch, so that rows can be visited in the order of their last access.
  // Costs an index. The numbers go on across openings and processes.
  bool track_access = false;
  // Keeps a size for each row, so that rows can be visited in its order and it can be summed up.
  // Costs an index.
  bool track_size = false;
  bool operator==(const StoreOptions&) const = default;
};

enum class Order {
  kKey,     // Integers and doubles by value (NaN at the ends), strings and blobs bytewise.
  kAccess,  // By last access, oldest first. Needs track_access.
  kSize,    // Smallest first, equal ones by key. Needs track_size.
};

struct StoreSchema {
  std::string name;
  CellType key_type = CellType::kInteger;
  std::string key_codec;
  CellType value_type = CellType::kInteger;
  std::string value_codec;
  StoreOptions options;
  bool operator==(const StoreSchema&) const = default;
};

// Rows as they came from the database, their bytes one behind the other.
struct RawPage {
  struct Row {
    int64_t key = 0;  // Of integer cells; else of `key_bytes` from `at`, and so for the value.
    int64_t value = 0;
    size_t at = 0;
    size_t key_bytes = 0;
    size_t value_bytes = 0;
    int64_t accessed = 0;
    int64_t size = 0;
  };
  std::vector<Row> rows;
  std::string bytes;
  bool has_more = false;  // Perhaps.

  Cell key(const Row& row) const { return {row.key, {bytes.data() + row.at, row.key_bytes}}; }
  Cell value(const Row& row) const {
    return {row.value, {bytes.data() + row.at + row.key_bytes, row.value_bytes}};
  }
};

// Where a page of a scan begins.
struct RawPosition {
  enum class Bound { kNone, kFrom, kAfter };
  Bound bound = Bound::kNone;  // Of kKey and kSize; kAccess has its numbers always.
  Cell key;
  int64_t number = 0;       // kAccess: after this one. kSize: the size.
  int64_t last_number = 0;  // kAccess, ascending: none after this one.
};

class RawStore {
 public:
  // Makes the store when it is not there, unless the database is read-only.
  static Result<std::unique_ptr<RawStore>> open(Database& database, StoreSchema schema);

  Status put(const Cell& key, const Cell& value, std::optional<int64_t> size);
  // Whether it is there; then `visit` had its value.
  Result<bool> get(const Cell& key, const std::function<Status(const Cell&)>& visit);
  Result<bool> exists(const Cell& key);
  Result<bool> erase(const Cell& key);
  Result<bool> touch(const Cell& key);
  Status clear();
  Result<int64_t> count();
  Result<int64_t> total_size();
  Result<int64_t> last_access();
  // The rows that follow `position`: some of them, until the end when has_more is false.
  Status read_page(Order order, bool descending, const RawPosition& position, RawPage& page);

 private:
  enum Prepared { kPut, kGet, kExists, kErase, kTouch, kClear, kCount, kSum, kLast, kScan };
  static constexpr size_t kScans = 3 * 2 * 3;  // Orders, directions, bounds.

  RawStore(std::shared_ptr<Connection> connection, StoreSchema schema, std::string table);
  RecursiveMutex& mutex() const COREML_DELEGATE_RETURNS_MUTEX(connection_->mutex()) {
    return connection_->mutex();
  }
  std::string sql(Prepared which) const;
  std::string scan_sql(Order order, bool descending, RawPosition::Bound bound) const;
  // Runs a statement that takes a key; whether it changed a row.
  Result<bool> change(Prepared which, const Cell& key);
  Result<int64_t> number(Prepared which);
  Status need(bool tracked, const char* option) const;

  const std::shared_ptr<Connection> connection_;
  const StoreSchema schema_;
  const std::string table_;
  std::array<Statement, kScan> statements_ COREML_DELEGATE_GUARDED_BY(connection_->mutex());
  std::array<Statement, kScans> scans_ COREML_DELEGATE_GUARDED_BY(connection_->mutex());
};

// Makes the catalog; nothing when it is there.
Status make_catalog(Connection& connection) COREML_DELEGATE_REQUIRES(connection.mutex());
Result<std::vector<StoreSchema>> read_catalog(Connection& connection)
    COREML_DELEGATE_REQUIRES(connection.mutex());
// The table of a store. not_found when there is none of that name.
Result<std::string> find_table(Connection& connection, const std::string& name,
                               StoreSchema* schema = nullptr)
    COREML_DELEGATE_REQUIRES(connection.mutex());

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_RAW_STORE_H_
