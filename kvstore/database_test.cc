#include "kvstore/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "kvstore/store.h"
#include "kvstore/testing_folder.h"

namespace coreml_delegate::kvstore {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Numbers = Store<int64_t, int64_t>;

class DatabaseTest : public testing::Test {
 protected:
  std::string path() const { return folder_.at("a.db"); }
  std::unique_ptr<Database> open(const DatabaseOptions& options = {}) {
    Result<std::unique_ptr<Database>> database = Database::open(path(), options);
    EXPECT_TRUE(database.ok()) << database.status().to_string();
    return database.ok() ? *std::move(database) : nullptr;
  }
  Status open_status(const DatabaseOptions& options) {
    return Database::open(path(), options).status();
  }
  // A file with 2,000 rows whose pages from `from` on are overwritten.
  void make_damaged(size_t from, size_t bytes) {
    {
      auto database = open();
      auto store = *Store<int64_t, std::string>::open(*database, "s", {});
      ASSERT_TRUE(database
                      ->atomically([&]() -> Status {
                        for (int64_t i = 0; i < 2000; ++i) {
                          COREML_DELEGATE_RETURN_IF_ERROR(store.put(i, std::string(100, 'a')));
                        }
                        return {};
                      })
                      .ok());
    }
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(from));
    file << std::string(bytes, '\x5a');
  }

  TestingFolder folder_;
};

TEST_F(DatabaseTest, CommitsAndRollsBack) {
  auto database = open();
  auto store = *Numbers::open(*database, "s", {});
  {
    Result<Transaction> transaction = database->begin();
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(store.put(1, 1).ok());
    EXPECT_EQ(*store.get(1), 1) << "a transaction sees its own writes";
  }
  EXPECT_EQ(*store.get(1), std::nullopt);
  {
    Result<Transaction> transaction = database->begin();
    ASSERT_TRUE(store.put(2, 2).ok());
    ASSERT_TRUE(transaction->commit().ok());
    EXPECT_EQ(transaction->commit().code(), StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(*store.get(2), 2);
}

TEST_F(DatabaseTest, BatchIsAtomic) {
  auto database = open();
  auto store = *Numbers::open(*database, "s", {});
  const Status failed = database->atomically([&]() -> Status {
    COREML_DELEGATE_RETURN_IF_ERROR(store.put(1, 1));
    return cancelled("enough");
  });
  EXPECT_EQ(failed.code(), StatusCode::kCancelled);
  EXPECT_EQ(*store.size(), 0);
  EXPECT_TRUE(database->atomically([&]() { return store.put(1, 1); }).ok());
  EXPECT_EQ(*store.size(), 1);
}

TEST_F(DatabaseTest, NestedTransactions) {
  auto database = open();
  auto store = *Numbers::open(*database, "s", {});
  ASSERT_TRUE(database
                  ->atomically([&]() -> Status {
                    COREML_DELEGATE_RETURN_IF_ERROR(store.put(1, 1));
                    EXPECT_FALSE(database
                                     ->atomically([&]() -> Status {
                                       COREML_DELEGATE_RETURN_IF_ERROR(store.put(2, 2));
                                       return cancelled("inner");
                                     })
                                     .ok());
                    return database->atomically([&]() { return store.put(3, 3); });
                  })
                  .ok());
  EXPECT_EQ(*store.get(1), 1);
  EXPECT_EQ(*store.get(2), std::nullopt);
  EXPECT_EQ(*store.get(3), 3);
}

TEST_F(DatabaseTest, InMemoryWorksTheSame) {
  auto database = *Database::open_in_memory();
  auto store = *Numbers::open(*database, "s", {});
  ASSERT_TRUE(store.put(1, 1).ok());
  EXPECT_EQ(*store.get(1), 1);
  EXPECT_TRUE(database->check().ok());
}

TEST_F(DatabaseTest, MissingFolderIsNamed) {
  const Status status = Database::open(folder_.at("no/a.db"), {}).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.to_string(), HasSubstr(folder_.at("no/a.db")));
}

TEST_F(DatabaseTest, ReadOnlyReadsAndRefusesToWrite) {
  {
    auto database = open();
    auto store = *Numbers::open(*database, "s", {});
    ASSERT_TRUE(store.put(1, 1).ok());
  }
  auto database = open({.read_only = true});
  auto store = *Numbers::open(*database, "s", {});
  EXPECT_EQ(*store.get(1), 1);
  EXPECT_EQ(store.put(2, 2).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Numbers::open(*database, "other", {}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(*store.size(), 1);
}

TEST_F(DatabaseTest, ReadOnlySeesWhatAWriterCommits) {
  auto writer = open();
  auto written = *Numbers::open(*writer, "s", {});
  auto reader = open({.read_only = true});
  auto read = *Numbers::open(*reader, "s", {});
  ASSERT_TRUE(written.put(1, 7).ok());
  EXPECT_EQ(*read.get(1), 7);
}

TEST_F(DatabaseTest, ReadOnlyNeedsTheFile) {
  EXPECT_EQ(open_status({.read_only = true}).code(), StatusCode::kNotFound);
  EXPECT_EQ(real_file_system().info(path()).status().code(), StatusCode::kNotFound);
}

TEST_F(DatabaseTest, MigratesOnceAndInOneTransaction) {
  {
    auto database = open({.schema_version = 1});
    auto store = *Numbers::open(*database, "old", {});
    ASSERT_TRUE(store.put(1, 10).ok());
  }
  EXPECT_EQ(open_status({.schema_version = 3}).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(open_status({.read_only = true, .schema_version = 3}).code(),
            StatusCode::kFailedPrecondition);
  int runs = 0;
  DatabaseOptions options{.schema_version = 3};
  options.migrate = [&](Database& database, int32_t from) -> Status {
    ++runs;
    EXPECT_EQ(from, 1);
    COREML_DELEGATE_ASSIGN_OR_RETURN(auto store, Numbers::open(database, "new", {}));
    COREML_DELEGATE_RETURN_IF_ERROR(store.put(1, 100));
    COREML_DELEGATE_RETURN_IF_ERROR(database.drop_store("old"));
    return runs == 1 ? cancelled("first try") : Status();
  };
  EXPECT_EQ(open_status(options).code(), StatusCode::kCancelled);
  {
    auto database = open({.schema_version = 1});
    EXPECT_THAT(*database->store_names(), ElementsAre("old")) << "the failed migration is undone";
  }
  for (int i = 0; i < 2; ++i) {
    auto database = open(options);
    EXPECT_THAT(*database->store_names(), ElementsAre("new"));
  }
  EXPECT_EQ(runs, 2);
}

TEST_F(DatabaseTest, NewerSchemaIsRefused) {
  open({.schema_version = 5});
  const Status status = open_status({.schema_version = 4});
  EXPECT_EQ(status.code(), StatusCode::kVersionTooNew);
  EXPECT_THAT(status.message(), HasSubstr("schema version 5"));
}

TEST_F(DatabaseTest, DatabaseOfAnotherProgramIsLeftAlone) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(other, "CREATE TABLE t(x); INSERT INTO t VALUES(1)", nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(other);
  EXPECT_EQ(open_status({.if_damaged = IfDamaged::kStartEmpty}).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(real_file_system().info(path() + ".damaged").status().code(), StatusCode::kNotFound);
}

TEST_F(DatabaseTest, FileThatIsNoDatabaseIsCorrupt) {
  std::ofstream(path()) << std::string(5000, 'x');
  EXPECT_EQ(open_status({}).code(), StatusCode::kCorruptData);
  auto database = open({.if_damaged = IfDamaged::kStartEmpty});
  ASSERT_NE(database, nullptr);
  EXPECT_EQ(database->salvaged_rows(), 0);
  EXPECT_TRUE(real_file_system().info(path() + ".damaged").ok());
  EXPECT_TRUE(database->check().ok());
}

TEST_F(DatabaseTest, CheckFindsDamage) {
  make_damaged(20'000, 30'000);
  EXPECT_EQ(open_status({.check_when_opening = true}).code(), StatusCode::kCorruptData);
  auto database = open();
  EXPECT_EQ(database->check().code(), StatusCode::kCorruptData);
}

TEST_F(DatabaseTest, SalvageKeepsWhatCanBeRead) {
  make_damaged(100'000, 20'000);
  auto database = open({.if_damaged = IfDamaged::kSalvage, .check_when_opening = true});
  ASSERT_NE(database, nullptr);
  EXPECT_GT(database->salvaged_rows(), 1000);
  EXPECT_LT(database->salvaged_rows(), 2000);
  auto store = *Store<int64_t, std::string>::open(*database, "s", {});
  EXPECT_EQ(*store.size(), database->salvaged_rows());
  EXPECT_EQ(*store.get(0), std::string(100, 'a')) << "before the damage";
  EXPECT_EQ(*store.get(1999), std::string(100, 'a')) << "behind it";
  EXPECT_TRUE(database->check().ok());
}

TEST_F(DatabaseTest, DamagedFileInUseIsNotReplaced) {
  make_damaged(20'000, 30'000);
  auto user = open();
  const Status status = open_status({.busy_timeout = std::chrono::milliseconds(20),
                                     .if_damaged = IfDamaged::kStartEmpty,
                                     .check_when_opening = true});
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(real_file_system().info(path() + ".damaged").status().code(), StatusCode::kNotFound);
}

// Whatever a crash or a disk leaves: opening ends in a database or a Status, never in a crash.
TEST_F(DatabaseTest, AnyTruncationAndAnyFlippedByteIsSurvived) {
  std::string whole;
  {
    auto database = open();
    auto store = *Store<std::string, int64_t>::open(*database, "s", {.track_access = true});
    for (int64_t i = 0; i < 50; ++i) ASSERT_TRUE(store.put(std::to_string(i), i).ok());
  }
  {
    std::ifstream file(path(), std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(file), {});
  }
  ASSERT_GT(whole.size(), 4096u);
  int damaged = 0;
  for (size_t i = 0; i < 120; ++i) {
    std::string text = whole;
    const size_t at = i < 60 ? i * 2 : i * 977 % whole.size();
    if (i % 3 == 0) {
      text.resize(at);
    } else {
      text[at] = static_cast<char>(text[at] ^ 0x55);
    }
    for (const char* suffix : {"-wal", "-shm", ""}) {
      (void)real_file_system().remove_file(path() + suffix);
    }
    std::ofstream(path(), std::ios::binary) << text;
    Result<std::unique_ptr<Database>> database =
        Database::open(path(), {.if_damaged = IfDamaged::kSalvage, .check_when_opening = true});
    if (!database.ok()) {
      // The header's schema version, application or format is another one now.
      EXPECT_THAT(database.status().code(),
                  testing::AnyOf(StatusCode::kVersionTooNew, StatusCode::kFailedPrecondition))
          << database.status().to_string();
      continue;
    }
    damaged += (*database)->salvaged_rows() >= 0 ? 1 : 0;
    EXPECT_TRUE((*database)->check().ok());
  }
  EXPECT_GT(damaged, 20);
}

// The limit of the process on the size of files stands for a full disk.
TEST_F(DatabaseTest, FullDiskUndoesTheTransaction) {
  auto database = open();
  auto store = *Store<int64_t, std::string>::open(*database, "s", {});
  ASSERT_TRUE(store.put(1, "kept").ok());
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 200'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status failed = store.put(2, std::string(1'000'000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(failed.code(), testing::AnyOf(StatusCode::kResourceExhausted, StatusCode::kIoError))
      << failed.to_string();
  EXPECT_EQ(*store.get(1), "kept");
  EXPECT_EQ(*store.get(2), std::nullopt);
  EXPECT_TRUE(store.put(2, std::string(1'000'000, 'x')).ok()) << "there is room again";
  EXPECT_TRUE(database->check().ok());
}

}  // namespace
}  // namespace coreml_delegate::kvstore
