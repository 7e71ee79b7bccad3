// Threads and processes that share a database.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "kvstore/database.h"
#include "kvstore/store.h"
#include "kvstore/testing_folder.h"

namespace coreml_delegate::kvstore {
namespace {

using Counters = Store<std::string, int64_t>;

Status increment(Database& database, Counters& counters) {
  return database.atomically([&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::optional<int64_t> value, counters.get("n"));
    return counters.put("n", value.value_or(0) + 1);
  });
}

TEST(ThreadsTest, TransactionsOfOneDatabaseDoNotLoseUpdates) {
  TestingFolder folder;
  auto database = *Database::open(folder.at("a.db"), {});
  auto counters = *Counters::open(*database, "c", {.track_access = true});
  constexpr int kThreads = 4;
  constexpr int kTimes = 50;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < kTimes; ++k) failures += increment(*database, counters).ok() ? 0 : 1;
    });
  }
  // Readers and scanners meanwhile, which never see a transaction half done.
  threads.emplace_back([&] {
    for (int k = 0; k < kTimes; ++k) {
      int64_t rows = 0;
      if (!counters.scan({.order = Order::kAccess}, [&](const auto&) { return ++rows > 0; }).ok()) {
        ++failures;
      }
      if (rows > 1) ++failures;
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(*counters.get("n"), kThreads * kTimes);
}

TEST(ThreadsTest, AnotherThreadWaitsForTheEndOfATransaction) {
  auto database = *Database::open_in_memory();
  auto counters = *Counters::open(*database, "c", {});
  std::atomic<bool> is_committed = false;
  std::optional<Transaction> transaction = *database->begin();
  ASSERT_TRUE(counters.put("n", 1).ok());
  std::thread reader([&] {
    EXPECT_EQ(*counters.get("n"), 2);
    EXPECT_TRUE(is_committed);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  ASSERT_TRUE(counters.put("n", 2).ok());
  is_committed = true;
  ASSERT_TRUE(transaction->commit().ok());
  reader.join();
}

// Each thread with a connection of its own, as processes have.
TEST(ThreadsTest, ConnectionsWaitForEachOther) {
  TestingFolder folder;
  constexpr int kThreads = 4;
  constexpr int kTimes = 25;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      auto database = Database::open(folder.at("a.db"), {.busy_timeout = std::chrono::seconds(60)});
      if (!database.ok()) {
        ++failures;
        return;
      }
      auto counters = *Counters::open(**database, "c", {});
      for (int k = 0; k < kTimes; ++k) failures += increment(**database, counters).ok() ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  auto database = *Database::open(folder.at("a.db"), {});
  EXPECT_EQ(*Counters::open(*database, "c", {})->get("n"), kThreads * kTimes);
}

// Whoever comes while another makes the tables sees a database of this program or none.
TEST(ThreadsTest, ANewFileIsOpenedByAllAtOnce) {
  TestingFolder folder;
  constexpr int kThreads = 4;
  for (int round = 0; round < 50; ++round) {
    const std::string path = folder.at("new_" + std::to_string(round) + ".db");
    std::atomic<int> ready = 0;
    std::vector<std::string> errors(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        ++ready;
        while (ready < kThreads) std::this_thread::yield();
        const auto database = Database::open(path, {.busy_timeout = std::chrono::seconds(60)});
        if (!database.ok()) errors[i] = database.status().to_string();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(errors, std::vector<std::string>(kThreads)) << path;
  }
}

TEST(ThreadsTest, BusyDatabaseIsReportedAfterTheTimeout) {
  TestingFolder folder;
  auto holder = *Database::open(folder.at("a.db"), {});
  auto counters = *Counters::open(*holder, "c", {});
  auto waiting =
      *Database::open(folder.at("a.db"), {.busy_timeout = std::chrono::milliseconds(20)});
  auto same = *Counters::open(*waiting, "c", {});
  std::optional<Transaction> transaction = *holder->begin();
  ASSERT_TRUE(counters.put("n", 1).ok());
  EXPECT_EQ(same.put("n", 2).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(*same.get("n"), std::nullopt) << "readers are not kept out";
  ASSERT_TRUE(transaction->commit().ok());
  EXPECT_EQ(*same.get("n"), 1);
}

// Children increment until they are killed: every commit that was reported is there.
TEST(ProcessesTest, KilledWritersLoseNothingThatWasCommitted) {
  TestingFolder folder;
  const std::string path = folder.at("a.db");
  constexpr int kChildren = 3;
  constexpr int kRounds = 5;
  int64_t committed = 0;
  for (int round = 0; round < kRounds; ++round) {
    int reports[2];
    ASSERT_EQ(::pipe(reports), 0);
    std::vector<pid_t> children;
    for (int i = 0; i < kChildren; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::close(reports[0]);
        auto database = Database::open(path, {.busy_timeout = std::chrono::seconds(60)});
        if (!database.ok()) ::_exit(1);
        auto counters = Counters::open(**database, "c", {});
        if (!counters.ok()) ::_exit(1);
        for (;;) {
          if (!increment(**database, *counters).ok()) ::_exit(1);
          if (::write(reports[1], "+", 1) != 1) ::_exit(1);
        }
      }
      ASSERT_GT(child, 0);
      children.push_back(child);
    }
    ::close(reports[1]);
    int64_t reported = 0;
    char buffer[64];
    while (reported < 20 + round * 7) {
      const ssize_t count = ::read(reports[0], buffer, sizeof(buffer));
      ASSERT_GT(count, 0) << "a child failed";
      reported += count;
    }
    for (const pid_t child : children) ::kill(child, SIGKILL);
    for (const pid_t child : children) ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    for (;;) {
      const ssize_t count = ::read(reports[0], buffer, sizeof(buffer));
      if (count <= 0) break;
      reported += count;
    }
    ::close(reports[0]);
    auto database = Database::open(path, {.check_when_opening = true});
    ASSERT_TRUE(database.ok()) << database.status().to_string();
    const int64_t value = (*Counters::open(**database, "c", {})->get("n")).value_or(0);
    // Each child may have been killed between its commit and its report.
    EXPECT_GE(value, committed + reported);
    EXPECT_LE(value, committed + reported + kChildren);
    committed = value;
  }
}

}  // namespace
}  // namespace coreml_delegate::kvstore
