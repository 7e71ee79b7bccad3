#include "kvstore/database.h"

#include <sqlite3.h>

#include <thread>
#include <utility>

#include "base/file.h"
#include "base/logging.h"
#include "kvstore/connection.h"
#include "kvstore/raw_store.h"
#include "kvstore/salvage.h"

namespace coreml_delegate::kvstore {
namespace {

// "CMkv": what tells our files from other programs' SQLite databases.
constexpr int64_t kApplicationId = 0x434d6b76;
constexpr char kLockSuffix[] = ".lock";

using Clock = std::chrono::steady_clock;

// For "file:" names, in which ?, # and % mean something.
std::string percent_encoded(const std::string& path) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string encoded;
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      encoded += c;
    }
  }
  return encoded;
}

Result<std::shared_ptr<Connection>> connect(const std::string& name, int flags,
                                            const std::string& path) {
  sqlite3* handle = nullptr;
  // No mutex of SQLite's: Connection has one, which transactions need anyway.
  const int code =
      sqlite3_open_v2(name.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX, /*zVfs=*/nullptr);
  if (handle == nullptr)
    return resource_exhausted("there is not enough memory to open a database", path);
  auto connection = std::make_shared<Connection>(handle, path);
  sqlite3_extended_result_codes(handle, 1);
  if (code != SQLITE_OK) return connection->failure(code, "open the database");
  return connection;
}

// A lock that keeps the file from being replaced; null where the volume has no locks.
Result<std::unique_ptr<FileLock>> lock_file(const std::string& path, LockMode mode,
                                            std::chrono::milliseconds timeout) {
  const Clock::time_point end = Clock::now() + timeout;
  for (;;) {
    Result<std::unique_ptr<FileLock>> lock =
        real_file_system().try_lock(path + kLockSuffix, mode, MissingLock::kCreate);
    if (lock.ok()) return lock;
    if (lock.status().code() == StatusCode::kUnsupported) return std::unique_ptr<FileLock>();
    if (lock.status().code() != StatusCode::kFailedPrecondition || Clock::now() >= end) {
      return lock;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

Status set_aside(const std::string& path) {
  FileSystem& files = real_file_system();
  const std::string damaged = path + ".damaged";
  // The log first: without it the file is an older state of itself, with the log of another file
  // it would be nothing.
  for (const char* suffix : {"-wal", ""}) {
    const Status moved = files.rename(path + suffix, damaged + suffix);
    if (!moved.ok() && moved.code() != StatusCode::kNotFound) return moved;
    if (moved.code() == StatusCode::kNotFound) {
      const Status stale = files.remove_file(damaged + suffix);
      if (!stale.ok() && stale.code() != StatusCode::kNotFound) return stale;
    }
  }
  for (const std::string& shared_memory : {path + "-shm", damaged + "-shm"}) {
    const Status removed = files.remove_file(shared_memory);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) return removed;
  }
  return {};
}

}  // namespace

Status Database::set_up(const DatabaseOptions& options) {
  Connection& connection = *connection_;
  const MutexLock lock(connection.mutex());
  sqlite3* const handle = connection.handle();
  sqlite3_busy_timeout(handle, static_cast<int>(options.busy_timeout.count()));
  // The file may be damaged or made to do harm.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  COREML_DELEGATE_RETURN_IF_ERROR(connection.execute(
      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY"));
  // In this order: whoever makes the tables sets the id with them, so that where there are tables
  // the id is there too. The other way round another process could do both in between.
  COREML_DELEGATE_ASSIGN_OR_RETURN(const int64_t tables,
                                   connection.query_integer("SELECT count(*) FROM sqlite_schema"));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const int64_t application,
                                   connection.query_integer("PRAGMA application_id"));
  const bool is_new = application == 0 && tables == 0;
  if (!is_new && application != kApplicationId) {
    return failed_precondition("the file is a database of another program", path());
  }
  if (is_new && options.read_only) {
    return failed_precondition(
        "the database is empty and was opened read-only; open it for writing once", path());
  }
  if (options.check_when_opening) COREML_DELEGATE_RETURN_IF_ERROR(check());
  if (!options.read_only) {
    // Two processes that open a new file at once: SQLite reports one as busy without waiting.
    const Clock::time_point end = Clock::now() + options.busy_timeout;
    for (;;) {
      const Status status = connection.execute("PRAGMA journal_mode = WAL");
      if (status.ok()) break;
      if (status.code() != StatusCode::kFailedPrecondition || Clock::now() >= end) return status;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    COREML_DELEGATE_RETURN_IF_ERROR(connection.execute("PRAGMA synchronous = NORMAL"));
    // The log shrinks again after a large transaction.
    COREML_DELEGATE_RETURN_IF_ERROR(connection.execute("PRAGMA journal_size_limit = 4194304"));
  }

  COREML_DELEGATE_ASSIGN_OR_RETURN(int64_t version,
                                   connection.query_integer("PRAGMA user_version"));
  if (application == kApplicationId && version == options.schema_version) return {};
  if (version > options.schema_version) {
    return Status(StatusCode::kVersionTooNew,
                  "the database has schema version " + std::to_string(version) +
                      ", and this program knows version " + std::to_string(options.schema_version) +
                      "; upgrade the program",
                  path());
  }
  if (options.read_only) {
    return failed_precondition("the database has the older schema version " +
                                   std::to_string(version) +
                                   "and was opened read-only, so it cannot be migrated",
                               path());
  }
  return atomically([&]() -> Status {
    connection.mutex().is_held();
    // Again, now that nobody else can write: another process may have done it.
    COREML_DELEGATE_ASSIGN_OR_RETURN(const int64_t owner,
                                     connection.query_integer("PRAGMA application_id"));
    COREML_DELEGATE_ASSIGN_OR_RETURN(version, connection.query_integer("PRAGMA user_version"));
    if (owner == 0) {
      COREML_DELEGATE_RETURN_IF_ERROR(make_catalog(connection));
      COREML_DELEGATE_RETURN_IF_ERROR(connection.execute(
          ("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str()));
    } else if (version < options.schema_version) {
      if (options.migrate == nullptr) {
        return failed_precondition("the database has the older schema version " +
                                       std::to_string(version) +
                                       ", and the options have no function that migrates it",
                                   path());
      }
      const Status migrated = options.migrate(*this, static_cast<int32_t>(version));
      if (!migrated.ok()) {
        return migrated.annotate(
            "cannot migrate the database from schema version " + std::to_string(version), path());
      }
    }
    return connection.execute(
        ("PRAGMA user_version = " + std::to_string(options.schema_version)).c_str());
  });
}

Result<std::unique_ptr<Database>> Database::open_once(const std::string& path,
                                                      const DatabaseOptions& options) {
  if (!options.read_only) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        const std::shared_ptr<Connection> connection,
        connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, path));
    std::unique_ptr<Database> database(new Database(connection));
    COREML_DELEGATE_RETURN_IF_ERROR(database->set_up(options));
    return database;
  }
  COREML_DELEGATE_RETURN_IF_ERROR(real_file_system().info(path).status());
  const auto open_named = [&](const std::string& name) -> Result<std::unique_ptr<Database>> {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::shared_ptr<Connection> connection,
                                     connect(name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, path));
    std::unique_ptr<Database> database(new Database(connection));
    COREML_DELEGATE_RETURN_IF_ERROR(database->set_up(options));
    return database;
  };
  Result<std::unique_ptr<Database>> database = open_named("file:" + percent_encoded(path));
  if (!database.ok() && database.status().code() == StatusCode::kIoError &&
      !real_file_system().info(path + "-wal").ok()) {
    // A folder in which nothing can be written has no place for the log's index. Without a log
    // there is nothing that could change the file.
    database = open_named("file:" + percent_encoded(path) + "?immutable=1");
  }
  return database;
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path,
                                                 const DatabaseOptions& options) {
  if (options.schema_version < 1) {
    return invalid_argument("schema_version must be at least 1", path);
  }
  if (options.read_only) return open_once(path, options);
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                                   lock_file(path, LockMode::kShared, options.busy_timeout));
  Result<std::unique_ptr<Database>> database = open_once(path, options);
  if (!database.ok() && database.status().code() == StatusCode::kCorruptData &&
      options.if_damaged != IfDamaged::kFail && lock != nullptr) {
    const Status damage = database.status();
    lock.reset();
    Result<std::unique_ptr<FileLock>> exclusive =
        lock_file(path, LockMode::kExclusive, options.busy_timeout);
    if (!exclusive.ok()) {
      return exclusive.status().annotate(
          "the database is damaged, and cannot be replaced while others have it open; close it "
          "everywhere",
          path);
    }
    // Another process may have replaced it meanwhile.
    database = open_once(path, options);
    if (!database.ok() && database.status().code() == StatusCode::kCorruptData) {
      COREML_DELEGATE_RETURN_IF_ERROR(set_aside(path));
      DatabaseOptions fresh = options;
      fresh.if_damaged = IfDamaged::kFail;
      database = open_once(path, fresh);
      if (!database.ok()) return database;
      int64_t rows = 0;
      if (options.if_damaged == IfDamaged::kSalvage) {
        const Result<int64_t> salvaged = salvage(path + ".damaged", **database);
        if (salvaged.ok()) rows = *salvaged;
      }
      (*database)->salvaged_rows_ = rows;
      COREML_DELEGATE_LOG(kWarning, "%s; it was set aside as %s.damaged, %lld rows were taken over",
                          damage.to_string().c_str(), path.c_str(), static_cast<long long>(rows));
    }
    exclusive->reset();
    COREML_DELEGATE_ASSIGN_OR_RETURN(lock,
                                     lock_file(path, LockMode::kShared, options.busy_timeout));
  }
  if (database.ok()) (*database)->connection_->file_lock = std::move(lock);
  return database;
}

Result<std::unique_ptr<Database>> Database::open_in_memory(const DatabaseOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      const std::shared_ptr<Connection> connection,
      connect(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY,
              ":memory:"));
  std::unique_ptr<Database> database(new Database(connection));
  COREML_DELEGATE_RETURN_IF_ERROR(database->set_up(options));
  return database;
}

Result<Transaction> Database::begin() {
  std::unique_lock lock(connection_->mutex());
  connection_->mutex().is_held();
  const int depth = connection_->transaction_depth;
  COREML_DELEGATE_RETURN_IF_ERROR(connection_->execute(
      depth == 0 ? "BEGIN IMMEDIATE" : ("SAVEPOINT level_" + std::to_string(depth)).c_str()));
  ++connection_->transaction_depth;
  return Transaction(connection_, std::move(lock), depth);
}

Status Database::atomically(const std::function<Status()>& body) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(Transaction transaction, begin());
  COREML_DELEGATE_RETURN_IF_ERROR(body());
  return transaction.commit();
}

Status Database::check() {
  const MutexLock lock(connection_->mutex());
  Statement statement;
  COREML_DELEGATE_RETURN_IF_ERROR(connection_->prepare("PRAGMA integrity_check(5)", statement));
  Execution execution(*connection_, statement);
  std::string faults;
  for (;;) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const bool has_row, execution.step());
    if (!has_row) break;
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
    if (text != nullptr && std::string(text) != "ok") {
      faults += (faults.empty() ? "" : "; ") + std::string(text);
    }
  }
  if (!faults.empty()) return corrupt_data("the database is damaged: " + faults, path());
  return {};
}

Result<std::vector<std::string>> Database::store_names() {
  const MutexLock lock(connection_->mutex());
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<StoreSchema> schemas,
                                   read_catalog(*connection_));
  std::vector<std::string> names;
  for (const StoreSchema& schema : schemas) names.push_back(schema.name);
  return names;
}

Status Database::drop_store(const std::string& name) {
  return atomically([&]() -> Status {
    connection_->mutex().is_held();
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::string table, find_table(*connection_, name));
    COREML_DELEGATE_RETURN_IF_ERROR(
        connection_->execute(("DELETE FROM kv_catalog WHERE number = " + table.substr(3)).c_str()));
    return connection_->execute(("DROP TABLE " + table).c_str());
  });
}

const std::string& Database::path() const { return connection_->path(); }

Transaction::Transaction(std::shared_ptr<Connection> connection,
                         std::unique_lock<RecursiveMutex> lock, int depth)
    : connection_(std::move(connection)), lock_(std::move(lock)), depth_(depth) {}

Transaction::Transaction(Transaction&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)),
      lock_(std::move(other.lock_)),
      depth_(other.depth_) {}

Transaction::~Transaction() {
  if (connection_ == nullptr) return;
  connection_->mutex().is_held();
  connection_->transaction_depth = depth_;
  // SQLite may have rolled back by itself, after a full disk for one: then there is nothing to do.
  if (sqlite3_get_autocommit(connection_->handle()) == 0) {
    const std::string level = "level_" + std::to_string(depth_);
    const Status undone =
        depth_ == 0 ? connection_->execute("ROLLBACK")
                    : connection_->execute(("ROLLBACK TO " + level + "; RELEASE " + level).c_str());
    if (!undone.ok()) COREML_DELEGATE_LOG_STATUS(kWarning, undone);
  }
  lock_.unlock();
}

Status Transaction::commit() {
  if (connection_ == nullptr) return failed_precondition("the transaction has already ended");
  connection_->mutex().is_held();
  if (sqlite3_get_autocommit(connection_->handle()) != 0) {
    return io_error("the transaction was undone, because an operation in it failed earlier",
                    connection_->path());
  }
  COREML_DELEGATE_RETURN_IF_ERROR(connection_->execute(
      depth_ == 0 ? "COMMIT" : ("RELEASE level_" + std::to_string(depth_)).c_str()));
  connection_->transaction_depth = depth_;
  // The lock goes before what it locks.
  lock_.unlock();
  connection_ = nullptr;
  return {};
}

}  // namespace coreml_delegate::kvstore
