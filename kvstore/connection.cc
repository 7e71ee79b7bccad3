#include "kvstore/connection.h"

namespace coreml_delegate::kvstore {

Status Connection::failure(int code, std::string_view doing) const {
  const std::string message = "cannot " + std::string(doing) + ": " + sqlite3_errmsg(handle_);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return failed_precondition(
          message + "; another process has kept it locked for longer than busy_timeout", path_);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return corrupt_data(message, path_);
    case SQLITE_FULL:
      return resource_exhausted(message + "; free disk space and try again", path_);
    case SQLITE_NOMEM:
      return resource_exhausted(message, path_);
    case SQLITE_TOOBIG:
      return invalid_argument(message, path_);
    case SQLITE_READONLY:
      return failed_precondition(message, path_);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return io_error(message, path_);
    default:
      return internal_error(message, path_);
  }
}

Status Connection::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Status() : failure(code, std::string("run \"") + sql + "\"");
}

Status Connection::prepare(const std::string& sql, Statement& statement) {
  if (statement.is_prepared()) return {};
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement.handle_, nullptr);
  return code == SQLITE_OK ? Status() : failure(code, "prepare \"" + sql + "\"");
}

Result<int64_t> Connection::query_integer(const std::string& sql) {
  Statement statement;
  COREML_DELEGATE_RETURN_IF_ERROR(prepare(sql, statement));
  Execution execution(*this, statement);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const bool has_row, execution.step());
  if (!has_row) return internal_error("\"" + sql + "\" returned no row", path_);
  return execution.integer(0);
}

Status Execution::bind(int index, CellType type, const Cell& cell) {
  if (is_integer_cell(type)) return bind_integer(index, cell.integer);
  // A null pointer would bind NULL instead of no bytes.
  const char* data = cell.bytes.data() == nullptr ? "" : cell.bytes.data();
  const int code = sqlite3_bind_blob64(handle_, index, data, cell.bytes.size(), SQLITE_STATIC);
  return code == SQLITE_OK ? Status() : connection_.failure(code, "bind a value");
}

Status Execution::bind_integer(int index, int64_t value) {
  const int code = sqlite3_bind_int64(handle_, index, value);
  return code == SQLITE_OK ? Status() : connection_.failure(code, "bind a value");
}

Result<bool> Execution::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return connection_.failure(code, std::string("run \"") + sqlite3_sql(handle_) + "\"");
}

Result<Cell> Execution::cell(int column, CellType type) const {
  const int expected = is_integer_cell(type) ? SQLITE_INTEGER : SQLITE_BLOB;
  if (sqlite3_column_type(handle_, column) != expected) {
    return corrupt_data(
        "a column holds a value of another type than the store's; the database is damaged",
        connection_.path());
  }
  if (is_integer_cell(type)) return Cell{sqlite3_column_int64(handle_, column), {}};
  const auto* data = static_cast<const char*>(sqlite3_column_blob(handle_, column));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(handle_, column));
  return Cell{0, size == 0 ? std::string_view() : std::string_view(data, size)};
}

}  // namespace coreml_delegate::kvstore
