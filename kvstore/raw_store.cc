#include "kvstore/raw_store.h"

#include <utility>

namespace coreml_delegate::kvstore {
namespace {

constexpr int64_t kTracksAccess = 1;
constexpr int64_t kTracksSize = 2;

// A page of a scan ends with the first of them.
constexpr size_t kPageRows = 256;
constexpr size_t kPageBytes = size_t{1} << 18;

constexpr char kCatalogColumns[] =
    "number, name, key_type, key_codec, value_type, value_codec, tracks";

std::string describe(const StoreSchema& schema) {
  std::string text = schema.key_codec + " -> " + schema.value_codec;
  if (schema.options.track_access) text += ", tracking access";
  if (schema.options.track_size) text += ", tracking size";
  return text;
}

Result<StoreSchema> schema_of_row(const Execution& row) {
  StoreSchema schema;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Cell name, row.cell(1, CellType::kString));
  schema.name = name.bytes;
  schema.key_type = static_cast<CellType>(row.integer(2));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Cell key_codec, row.cell(3, CellType::kString));
  schema.key_codec = key_codec.bytes;
  schema.value_type = static_cast<CellType>(row.integer(4));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Cell value_codec, row.cell(5, CellType::kString));
  schema.value_codec = value_codec.bytes;
  schema.options.track_access = (row.integer(6) & kTracksAccess) != 0;
  schema.options.track_size = (row.integer(6) & kTracksSize) != 0;
  return schema;
}

Status make_table(Connection& connection, const StoreSchema& schema)
    COREML_DELEGATE_REQUIRES(connection.mutex()) {
  Statement insert;
  COREML_DELEGATE_RETURN_IF_ERROR(connection.prepare(
      "INSERT INTO kv_catalog(name, key_type, key_codec, value_type, value_codec, tracks) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
      insert));
  {
    Execution execution(connection, insert);
    COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(1, CellType::kString, {0, schema.name}));
    COREML_DELEGATE_RETURN_IF_ERROR(
        execution.bind_integer(2, static_cast<int64_t>(schema.key_type)));
    COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(3, CellType::kString, {0, schema.key_codec}));
    COREML_DELEGATE_RETURN_IF_ERROR(
        execution.bind_integer(4, static_cast<int64_t>(schema.value_type)));
    COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(5, CellType::kString, {0, schema.value_codec}));
    COREML_DELEGATE_RETURN_IF_ERROR(
        execution.bind_integer(6, (schema.options.track_access ? kTracksAccess : 0) |
                                      (schema.options.track_size ? kTracksSize : 0)));
    COREML_DELEGATE_RETURN_IF_ERROR(execution.step().status());
  }
  const std::string table = "kv_" + std::to_string(sqlite3_last_insert_rowid(connection.handle()));
  const bool integer_key = is_integer_cell(schema.key_type);
  std::string sql = "CREATE TABLE " + table + "(key " +
                    (integer_key ? "INTEGER" : "BLOB NOT NULL") + " PRIMARY KEY, value NOT NULL";
  if (schema.options.track_access) sql += ", accessed INTEGER NOT NULL";
  if (schema.options.track_size) sql += ", size INTEGER NOT NULL";
  sql += integer_key ? ");" : ") WITHOUT ROWID;";
  if (schema.options.track_access) {
    sql += "CREATE UNIQUE INDEX " + table + "_accessed ON " + table + "(accessed);";
  }
  if (schema.options.track_size) {
    sql += "CREATE INDEX " + table + "_size ON " + table + "(size, key);";
  }
  return connection.execute(sql.c_str());
}

}  // namespace

Status make_catalog(Connection& connection) {
  return connection.execute(
      "CREATE TABLE IF NOT EXISTS kv_catalog(number INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB "
      "NOT NULL UNIQUE, key_type INTEGER NOT NULL, key_codec BLOB NOT NULL, value_type INTEGER NOT "
      "NULL, value_codec BLOB NOT NULL, tracks INTEGER NOT NULL)");
}

Result<std::vector<StoreSchema>> read_catalog(Connection& connection) {
  Statement select;
  COREML_DELEGATE_RETURN_IF_ERROR(connection.prepare(
      std::string("SELECT ") + kCatalogColumns + " FROM kv_catalog ORDER BY name", select));
  Execution execution(connection, select);
  std::vector<StoreSchema> schemas;
  for (;;) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const bool has_row, execution.step());
    if (!has_row) return schemas;
    COREML_DELEGATE_ASSIGN_OR_RETURN(StoreSchema schema, schema_of_row(execution));
    schemas.push_back(std::move(schema));
  }
}

Result<std::string> find_table(Connection& connection, const std::string& name,
                               StoreSchema* schema) {
  Statement select;
  COREML_DELEGATE_RETURN_IF_ERROR(connection.prepare(
      std::string("SELECT ") + kCatalogColumns + " FROM kv_catalog WHERE name = ?1", select));
  Execution execution(connection, select);
  COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(1, CellType::kString, {0, name}));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const bool has_row, execution.step());
  if (!has_row) return not_found("the database has no store with this name", name);
  if (schema != nullptr) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(*schema, schema_of_row(execution));
  }
  return "kv_" + std::to_string(execution.integer(0));
}

RawStore::RawStore(std::shared_ptr<Connection> connection, StoreSchema schema, std::string table)
    : connection_(std::move(connection)), schema_(std::move(schema)), table_(std::move(table)) {}

Result<std::unique_ptr<RawStore>> RawStore::open(Database& database, StoreSchema schema) {
  const std::shared_ptr<Connection> connection = database.connection_;
  const MutexLock lock(connection->mutex());
  StoreSchema there;
  Result<std::string> table = find_table(*connection, schema.name, &there);
  if (!table.ok() && table.status().code() == StatusCode::kNotFound &&
      sqlite3_db_readonly(connection->handle(), "main") == 0) {
    COREML_DELEGATE_RETURN_IF_ERROR(database.atomically([&]() -> Status {
      connection->mutex().is_held();
      // Another process may have been faster.
      if (find_table(*connection, schema.name).ok()) return {};
      return make_table(*connection, schema);
    }));
    table = find_table(*connection, schema.name, &there);
  }
  if (!table.ok()) return table.status();
  if (there != schema) {
    return failed_precondition("the store holds " + describe(there) + ", and was opened as " +
                                   describe(schema) + "; migrate or drop it",
                               schema.name);
  }
  return std::unique_ptr<RawStore>(new RawStore(connection, std::move(schema), *std::move(table)));
}

std::string RawStore::sql(Prepared which) const {
  const std::string next_access = "(SELECT ifnull(max(accessed), 0) + 1 FROM " + table_ + ")";
  switch (which) {
    case kPut: {
      std::string columns = "key, value";
      std::string values = "?1, ?2";
      std::string updates = "value = excluded.value";
      if (schema_.options.track_access) {
        columns += ", accessed";
        values += ", " + next_access;
        updates += ", accessed = excluded.accessed";
      }
      if (schema_.options.track_size) {
        columns += ", size";
        values += ", ?3";
        updates += ", size = excluded.size";
      }
      return "INSERT INTO " + table_ + "(" + columns + ") VALUES(" + values +
             ") ON CONFLICT(key) DO UPDATE SET " + updates;
    }
    case kGet:
      return "SELECT value FROM " + table_ + " WHERE key = ?1";
    case kExists:
      return "SELECT 1 FROM " + table_ + " WHERE key = ?1";
    case kErase:
      return "DELETE FROM " + table_ + " WHERE key = ?1";
    case kTouch:
      return "UPDATE " + table_ + " SET accessed = " + next_access + " WHERE key = ?1";
    case kClear:
      return "DELETE FROM " + table_;
    case kCount:
      return "SELECT count(*) FROM " + table_;
    case kSum:
      return "SELECT ifnull(sum(size), 0) FROM " + table_;
    case kLast:
      return "SELECT ifnull(max(accessed), 0) FROM " + table_;
    case kScan:
      break;
  }
  return {};
}

std::string RawStore::scan_sql(Order order, bool descending, RawPosition::Bound bound) const {
  std::string sql = "SELECT key, value";
  if (schema_.options.track_access) sql += ", accessed";
  if (schema_.options.track_size) sql += ", size";
  sql += " FROM " + table_;
  const std::string direction = descending ? " DESC" : "";
  const std::string after = descending ? " < " : " > ";
  if (order == Order::kAccess) {
    sql += " WHERE accessed" + after + "?1 AND accessed <= ?2 ORDER BY accessed" + direction;
  } else if (order == Order::kSize) {
    if (bound != RawPosition::Bound::kNone) sql += " WHERE (size, key)" + after + "(?1, ?2)";
    sql += " ORDER BY size" + direction + ", key" + direction;
  } else {
    if (bound == RawPosition::Bound::kFrom)
      sql += descending ? " WHERE key <= ?2" : " WHERE key >= ?2";
    if (bound == RawPosition::Bound::kAfter) sql += " WHERE key" + after + "?2";
    sql += " ORDER BY key" + direction;
  }
  return sql;
}

Status RawStore::need(bool tracked, const char* option) const {
  if (tracked) return {};
  return failed_precondition("the store was made without the option " + std::string(option),
                             schema_.name);
}

Status RawStore::put(const Cell& key, const Cell& value, std::optional<int64_t> size) {
  if (size && *size < 0) return invalid_argument("a size cannot be negative", schema_.name);
  if (size) COREML_DELEGATE_RETURN_IF_ERROR(need(schema_.options.track_size, "track_size"));
  const MutexLock lock(mutex());
  Statement& statement = statements_[kPut];
  if (!statement.is_prepared())
    COREML_DELEGATE_RETURN_IF_ERROR(connection_->prepare(sql(kPut), statement));
  Execution execution(*connection_, statement);
  COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(1, schema_.key_type, key));
  COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(2, schema_.value_type, value));
  if (schema_.options.track_size) {
    const auto own = [](CellType type, const Cell& cell) {
      return is_integer_cell(type) ? int64_t{sizeof(int64_t)}
                                   : static_cast<int64_t>(cell.bytes.size());
    };
    COREML_DELEGATE_RETURN_IF_ERROR(execution.bind_integer(
        3, size ? *size : own(schema_.key_type, key) + own(schema_.value_type, value)));
  }
  return execution.step().status();
}

Result<bool> RawStore::get(const Cell& key, const std::function<Status(const Cell&)>& visit) {
  const MutexLock lock(mutex());
  Statement& statement = statements_[kGet];
  if (!statement.is_prepared())
    COREML_DELEGATE_RETURN_IF_ERROR(connection_->prepare(sql(kGet), statement));
  Execution execution(*connection_, statement);
  COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(1, schema_.key_type, key));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const bool is_there, execution.step());
  if (!is_there) return false;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Cell value, execution.cell(0, schema_.value_type));
  COREML_DELEGATE_RETURN_IF_ERROR(visit(value));
  return true;
}

Result<bool> RawStore::exists(const Cell& key) {
  const MutexLock lock(mutex());
  Statement& statement = statements_[kExists];
  if (!statement.is_prepared())
    COREML_DELEGATE_RETURN_IF_ERROR(connection_->prepare(sql(kExists), statement));
  Execution execution(*connection_, statement);
  COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(1, schema_.key_type, key));
  return execution.step();
}

Result<bool> RawStore::change(Prepared which, const Cell& key) {
  const MutexLock lock(mutex());
  Statement& statement = statements_[which];
  if (!statement.is_prepared())
    COREML_DELEGATE_RETURN_IF_ERROR(connection_->prepare(sql(which), statement));
  Execution execution(*connection_, statement);
  COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(1, schema_.key_type, key));
  COREML_DELEGATE_RETURN_IF_ERROR(execution.step().status());
  return sqlite3_changes(connection_->handle()) > 0;
}

Result<bool> RawStore::erase(const Cell& key) { return change(kErase, key); }

Result<bool> RawStore::touch(const Cell& key) {
  COREML_DELEGATE_RETURN_IF_ERROR(need(schema_.options.track_access, "track_access"));
  return change(kTouch, key);
}

Status RawStore::clear() {
  const MutexLock lock(mutex());
  COREML_DELEGATE_RETURN_IF_ERROR(connection_->prepare(sql(kClear), statements_[kClear]));
  Execution execution(*connection_, statements_[kClear]);
  return execution.step().status();
}

Result<int64_t> RawStore::number(Prepared which) {
  const MutexLock lock(mutex());
  COREML_DELEGATE_RETURN_IF_ERROR(connection_->prepare(sql(which), statements_[which]));
  Execution execution(*connection_, statements_[which]);
  COREML_DELEGATE_RETURN_IF_ERROR(execution.step().status());
  return execution.integer(0);
}

Result<int64_t> RawStore::count() { return number(kCount); }

Result<int64_t> RawStore::total_size() {
  COREML_DELEGATE_RETURN_IF_ERROR(need(schema_.options.track_size, "track_size"));
  return number(kSum);
}

Result<int64_t> RawStore::last_access() {
  COREML_DELEGATE_RETURN_IF_ERROR(need(schema_.options.track_access, "track_access"));
  return number(kLast);
}

Status RawStore::read_page(Order order, bool descending, const RawPosition& position,
                           RawPage& page) {
  if (order == Order::kAccess)
    COREML_DELEGATE_RETURN_IF_ERROR(need(schema_.options.track_access, "track_access"));
  if (order == Order::kSize)
    COREML_DELEGATE_RETURN_IF_ERROR(need(schema_.options.track_size, "track_size"));
  page.rows.clear();
  page.bytes.clear();
  page.has_more = false;
  page.rows.reserve(kPageRows);
  const MutexLock lock(mutex());
  Statement& statement = scans_[(static_cast<size_t>(order) * 2 + (descending ? 1 : 0)) * 3 +
                                static_cast<size_t>(position.bound)];
  if (!statement.is_prepared()) {
    COREML_DELEGATE_RETURN_IF_ERROR(
        connection_->prepare(scan_sql(order, descending, position.bound), statement));
  }
  Execution execution(*connection_, statement);
  if (order == Order::kAccess) {
    COREML_DELEGATE_RETURN_IF_ERROR(execution.bind_integer(1, position.number));
    COREML_DELEGATE_RETURN_IF_ERROR(execution.bind_integer(2, position.last_number));
  } else if (position.bound != RawPosition::Bound::kNone) {
    if (order == Order::kSize)
      COREML_DELEGATE_RETURN_IF_ERROR(execution.bind_integer(1, position.number));
    COREML_DELEGATE_RETURN_IF_ERROR(execution.bind(2, schema_.key_type, position.key));
  }
  // SQLite itself, for this loop is what a scan costs.
  sqlite3_stmt* const handle = statement.get();
  const int key_type = is_integer_cell(schema_.key_type) ? SQLITE_INTEGER : SQLITE_BLOB;
  const int value_type = is_integer_cell(schema_.value_type) ? SQLITE_INTEGER : SQLITE_BLOB;
  const int size_column = schema_.options.track_access ? 3 : 2;
  // Whether the column holds that type. A value is asked for once: its own functions are cheaper
  // than those of columns, and the connection is ours alone.
  const auto read = [&](int column, int type, int64_t& integer, size_t& bytes) {
    sqlite3_value* const value = sqlite3_column_value(handle, column);
    if (sqlite3_value_type(value) != type) return false;
    if (type == SQLITE_INTEGER) {
      integer = sqlite3_value_int64(value);
      return true;
    }
    const auto* data = static_cast<const char*>(sqlite3_value_blob(value));
    bytes = static_cast<size_t>(sqlite3_value_bytes(value));
    if (bytes > 0) page.bytes.append(data, bytes);
    return true;
  };
  while (page.rows.size() < kPageRows && page.bytes.size() < kPageBytes) {
    const int code = sqlite3_step(handle);
    if (code == SQLITE_DONE) return {};
    if (code != SQLITE_ROW) return connection_->failure(code, "scan the store " + schema_.name);
    RawPage::Row& row = page.rows.emplace_back();
    row.at = page.bytes.size();
    if (!read(0, key_type, row.key, row.key_bytes) ||
        !read(1, value_type, row.value, row.value_bytes)) {
      return corrupt_data(
          "a column holds a value of another type than the store's; the database is damaged",
          connection_->path());
    }
    if (schema_.options.track_access) row.accessed = sqlite3_column_int64(handle, 2);
    if (schema_.options.track_size) row.size = sqlite3_column_int64(handle, size_column);
  }
  page.has_more = true;
  return {};
}

}  // namespace coreml_delegate::kvstore
