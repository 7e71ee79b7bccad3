#include "kvstore/salvage.h"

#include <sqlite3.h>

#include <memory>
#include <utility>

#include "kvstore/connection.h"
#include "kvstore/raw_store.h"

namespace coreml_delegate::kvstore {
namespace {

// Copies the rows that are not in `target` in an order until the end or the first damage; whether
// it was the end.
Result<bool> copy_rows(Connection& source, const std::string& table, const StoreSchema& schema,
                       const std::string& order, RawStore& target, int64_t& rows)
    COREML_DELEGATE_REQUIRES(source.mutex()) {
  Statement select;
  COREML_DELEGATE_RETURN_IF_ERROR(
      source.prepare("SELECT key, value, " + std::string(schema.options.track_size ? "size" : "0") +
                         " FROM " + table + " ORDER BY " + order,
                     select));
  Execution execution(source, select);
  for (;;) {
    const Result<bool> has_row = execution.step();
    if (!has_row.ok()) return false;
    if (!*has_row) return true;
    const Result<Cell> key = execution.cell(0, schema.key_type);
    const Result<Cell> value = execution.cell(1, schema.value_type);
    const int64_t size = execution.integer(2);
    if (!key.ok() || !value.ok() || size < 0) continue;
    // What an earlier pass has copied.
    COREML_DELEGATE_ASSIGN_OR_RETURN(const bool known, target.exists(*key));
    if (known) continue;
    COREML_DELEGATE_RETURN_IF_ERROR(
        target.put(*key, *value, schema.options.track_size ? std::optional(size) : std::nullopt));
    ++rows;
  }
}

}  // namespace

Result<int64_t> salvage(const std::string& damaged, Database& database) {
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(damaged.c_str(), &handle,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (handle == nullptr)
    return resource_exhausted("there is not enough memory to open a database", damaged);
  Connection source(handle, damaged);
  if (code != SQLITE_OK) return source.failure(code, "open the database");
  const MutexLock lock(source.mutex());
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  COREML_DELEGATE_RETURN_IF_ERROR(
      source.execute("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON"));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<StoreSchema> schemas, read_catalog(source));
  int64_t rows = 0;
  COREML_DELEGATE_RETURN_IF_ERROR(database.atomically([&]() -> Status {
    source.mutex().is_held();
    for (const StoreSchema& schema : schemas) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const std::string table, find_table(source, schema.name));
      COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<RawStore> target,
                                       RawStore::open(database, schema));
      // By access first, so that its order is kept. An index may lack rows that the table has, and
      // behind a damaged page there are more: hence by key from both ends. A store whose table is
      // gone has nothing to take over; the others may.
      if (schema.options.track_access) {
        (void)copy_rows(source, table, schema, "accessed", *target, rows);
      }
      const Result<bool> whole = copy_rows(source, table, schema, "key", *target, rows);
      if (whole.ok() && *whole) continue;
      (void)copy_rows(source, table, schema, "key DESC", *target, rows);
    }
    return {};
  }));
  return rows;
}

}  // namespace coreml_delegate::kvstore
