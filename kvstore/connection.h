#ifndef COREML_DELEGATE_KVSTORE_CONNECTION_H_
#define COREML_DELEGATE_KVSTORE_CONNECTION_H_

// SQLite's connection and statements with owners, and its errors as Status. For this folder only.

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/mutex.h"
#include "base/status.h"
#include "kvstore/codec.h"

namespace coreml_delegate::kvstore {

// A prepared statement. Everything needs the connection's mutex.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Statement() { sqlite3_finalize(handle_); }

  bool is_prepared() const { return handle_ != nullptr; }
  sqlite3_stmt* get() const { return handle_; }

 private:
  friend class Connection;
  sqlite3_stmt* handle_ = nullptr;
};

class Connection {
 public:
  Connection(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { sqlite3_close_v2(handle_); }

  // Held by every use of the connection; by a transaction for its whole life.
  RecursiveMutex& mutex() COREML_DELEGATE_RETURNS_MUTEX(mutex_) { return mutex_; }
  sqlite3* handle() const { return handle_; }
  const std::string& path() const { return path_; }

  // Runs one or more statements that give nothing.
  Status execute(const char* sql) COREML_DELEGATE_REQUIRES(mutex_);
  // Prepares `sql` into `statement` unless that has been done.
  Status prepare(const std::string& sql, Statement& statement) COREML_DELEGATE_REQUIRES(mutex_);
  // The first column of the first row.
  Result<int64_t> query_integer(const std::string& sql) COREML_DELEGATE_REQUIRES(mutex_);

  // A failure with SQLite's code and words.
  Status failure(int code, std::string_view doing) const;

  // Levels of transactions that are open.
  int transaction_depth COREML_DELEGATE_GUARDED_BY(mutex_) = 0;
  // Keeps other processes from replacing the file; null in memory. Set while the database is
  // opened.
  std::unique_ptr<FileLock> file_lock;

 private:
  RecursiveMutex mutex_;
  sqlite3* const handle_;
  const std::string path_;
};

// Binds, steps and resets on behalf of one call; the next call finds the statement as it was.
class Execution {
 public:
  Execution(Connection& connection, const Statement& statement)
      COREML_DELEGATE_REQUIRES(connection.mutex())
      : connection_(connection), handle_(statement.get()) {}
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;
  ~Execution() {
    sqlite3_reset(handle_);
    sqlite3_clear_bindings(handle_);
  }

  // The bytes must live until the execution ends.
  Status bind(int index, CellType type, const Cell& cell);
  Status bind_integer(int index, int64_t value);
  // Whether there is a row.
  Result<bool> step();

  int64_t integer(int column) const { return sqlite3_column_int64(handle_, column); }
  // corrupt_data when the column holds another type. Bytes live until the next step.
  Result<Cell> cell(int column, CellType type) const;

 private:
  Connection& connection_;
  sqlite3_stmt* const handle_;
};

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_CONNECTION_H_
