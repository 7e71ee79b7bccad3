#ifndef COREML_DELEGATE_KVSTORE_DATABASE_H_
#define COREML_DELEGATE_KVSTORE_DATABASE_H_

// A file of key-value stores (kvstore/store.h), over SQLite.
//
// This library is a deliverable of its own: //kvstore is public, stands on //base and SQLite alone,
// and is meant for programs that use nothing else of this repository. The index of compiled models
// (runtime/assets) is one of its users.
//
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<Database> database,
//                                    Database::open("index.db", {}));
//   using Entries = Store<std::string, Entry>;
//   COREML_DELEGATE_ASSIGN_OR_RETURN(Entries entries, Entries::open(*database, "entries", {}));
//   COREML_DELEGATE_RETURN_IF_ERROR(database->atomically([&]() -> Status {
//     COREML_DELEGATE_RETURN_IF_ERROR(entries.put("a", first));
//     return entries.put("b", second);  // Both are put or, after a failure, neither.
//   }));
//
// Thread rule: a Database and its stores may be used from several threads at once; their calls take
// turns. A transaction belongs to the thread that began it and must end there; until then calls of
// other threads wait. Two threads that hold transactions of two databases and want each other's
// wait for ever. Nothing here may be used after fork() in the child.
//
// Processes: any number may have the file open. A write waits for another process's up to
// busy_timeout, then fails with failed_precondition and has changed nothing. Not for network file
// systems: the write-ahead log needs shared memory.
//
// What survives: a commit survives the death of the process. After a loss of power the last commits
// may be missing, each of them as a whole, and the file is intact.
//
// Errors: corrupt_data for a damaged file, failed_precondition for a busy one or one of another
// program, version_too_new for a newer schema, resource_exhausted for a full disk, io_error.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"

namespace coreml_delegate::kvstore {

class Connection;
class Database;

enum class IfDamaged {
  kFail,        // corrupt_data: the caller decides.
  kStartEmpty,  // The file is set aside as PATH.damaged (the one before is replaced) and a new one
                // begun, unless another process has it open (then failed_precondition).
  kSalvage,     // As kStartEmpty, and every row that can still be read is taken over.
};

struct DatabaseOptions {
  // The file must be there and nothing is written, not even a lock file.
  bool read_only = false;
  std::chrono::milliseconds busy_timeout{5000};
  IfDamaged if_damaged = IfDamaged::kFail;
  // Runs PRAGMA quick_check when opening: damage is found now instead of when it is met. Costs a
  // read of the file.
  bool check_when_opening = false;
  // The version of what the caller keeps in the stores. A file with an older one is handed to
  // `migrate` in a transaction, which is rolled back when it fails; without `migrate`, and when
  // opened read-only, it is failed_precondition. 1 to 2^31 - 1.
  int32_t schema_version = 1;
  std::function<Status(Database& database, int32_t from_version)> migrate = {};
};

// Undone when it is destroyed without commit(). May be nested; the inner one's commit takes effect
// with the outer one's. Must not outlive its Database.
class Transaction {
 public:
  Transaction(Transaction&& other) noexcept;
  Transaction(const Transaction&) = delete;
  ~Transaction();
  // After a failure the transaction is undone.
  Status commit();

 private:
  friend class Database;
  Transaction(std::shared_ptr<Connection> connection, std::unique_lock<RecursiveMutex> lock,
              int depth);

  std::shared_ptr<Connection> connection_;  // Null when it has ended.
  std::unique_lock<RecursiveMutex> lock_;
  int depth_ = 0;
};

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const std::string& path,
                                                const DatabaseOptions& options);
  // Gone when the last user of it is.
  static Result<std::unique_ptr<Database>> open_in_memory(const DatabaseOptions& options = {});

  // Waits for other threads' calls and transactions; takes the write lock at once, so that what it
  // reads is what it changes.
  Result<Transaction> begin();
  // Runs `body` in a transaction, which is committed when it succeeds.
  Status atomically(const std::function<Status()>& body);

  // Reads the whole file: corrupt_data with the first faults.
  Status check();
  // Of the stores there are, sorted.
  Result<std::vector<std::string>> store_names();
  // not_found when there is none. An open Store of it fails from then on.
  Status drop_store(const std::string& name);

  const std::string& path() const;
  // Rows taken over from a damaged file when this was opened; -1 when it was not damaged.
  int64_t salvaged_rows() const { return salvaged_rows_; }

 private:
  template <typename Key, typename Value>
  friend class Store;
  friend class RawStore;
  explicit Database(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

  static Result<std::unique_ptr<Database>> open_once(const std::string& path,
                                                     const DatabaseOptions& options);
  Status set_up(const DatabaseOptions& options);

  const std::shared_ptr<Connection> connection_;
  int64_t salvaged_rows_ = -1;
};

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_DATABASE_H_
