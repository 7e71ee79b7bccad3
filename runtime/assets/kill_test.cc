// Four processes use one store and are killed with SIGKILL at random points: half of them before a
// random call to the file system (publishing, evicting, sweeping, locking), half at a random time
// (which also strikes within SQLite and within calls). After each round the store must be as good
// as new. COREML_DELEGATE_FULL_TESTS=1 kills 1,000 times.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "base/logging.h"
#include "base/testing_failing_files.h"
#include "runtime/assets/testing_crash.h"

namespace coreml_delegate::assets {
namespace {

constexpr int kWorkers = 4;
constexpr int kKillsPerRound = 25;
constexpr std::array<const char*, 16> kOperationNames = {
    "info",           "list",      "map",          "create", "append",      "sync",
    "close",          "mkdir",     "mkdir_unique", "rename", "remove_file", "remove_tree",
    "sync_directory", "sync_file", "lock",         "space"};

enum Exit { kDamagedServed = 2, kFailed = 3 };

// Works until it is killed. Before it kills itself, it says at which call.
[[noreturn]] void work(const std::string& folder, uint64_t seed, bool kills_itself, int report) {
  std::mt19937_64 random(seed);
  set_log_level(LogLevel::kError);
  FailingFileSystem files(real_file_system());
  if (kills_itself) {
    const uint64_t last = 1 + random() % 400;
    files.set_hook([last, report](uint64_t call, FileOperation operation) {
      if (call < last) return;
      const auto name = static_cast<char>(operation);
      if (::write(report, &name, 1) != 1) ::_exit(kFailed);
      ::kill(::getpid(), SIGKILL);
    });
  }
  for (;;) {
    const Result<std::unique_ptr<AssetStore>> store =
        AssetStore::open(crash_options(files, folder));
    if (!store.ok()) ::_exit(kFailed);
    for (int i = 0; i < 20; ++i) {
      const Status status = random_operation(**store, files, random);
      if (status.ok()) continue;
      std::fprintf(stderr, "%s\n", status.to_string().c_str());
      ::_exit(status.code() == StatusCode::kCorruptData ? kDamagedServed : kFailed);
    }
  }
}

struct Worker {
  pid_t process = 0;
  bool kills_itself = false;
  std::chrono::steady_clock::time_point end;
};

TEST(KillTest, KilledProcessesLeaveAWholeStore) {
  FileSystem& files = real_file_system();
  const std::string root = *files.make_unique_directory(testing::TempDir(), "kill_test.");
  const std::string folder = join_path(root, "cache");
  set_log_level(LogLevel::kError);
  std::mt19937_64 random(20260801);
  int reports[2];
  ASSERT_EQ(::pipe(reports), 0);
  const int all_kills = crash_count(50, 1000);
  int kills = 0;
  int timed = 0;
  int checks = 0;
  uint64_t damaged = 0;
  std::array<int, kOperationNames.size()> at{};

  while (kills < all_kills) {
    std::array<Worker, kWorkers> workers;
    const auto start = [&](Worker& worker) {
      worker.kills_itself = random() % 2 == 0;
      const uint64_t seed = random();
      // A worker that kills itself is waited for.
      worker.end = std::chrono::steady_clock::now() +
                   (worker.kills_itself ? std::chrono::microseconds(std::chrono::minutes(2))
                                        : std::chrono::microseconds(random() % 150'000));
      worker.process = ::fork();
      if (worker.process == 0) work(folder, seed, worker.kills_itself, reports[1]);
      ASSERT_GT(worker.process, 0);
    };
    const auto reap = [&](Worker& worker, int status) {
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
          << "a worker ended by itself with exit code " << WEXITSTATUS(status)
          << (WEXITSTATUS(status) == kDamagedServed ? ": a damaged entry was handed out" : "");
      worker.process = 0;
      ++kills;
    };
    for (Worker& worker : workers) start(worker);
    const int round_end = kills + kKillsPerRound;
    while (kills < round_end && !HasFatalFailure()) {
      for (Worker& worker : workers) {
        int status = 0;
        if (::waitpid(worker.process, &status, WNOHANG) == worker.process) {
          reap(worker, status);
          char operation = 0;
          ASSERT_EQ(::read(reports[0], &operation, 1), 1);
          ++at[static_cast<size_t>(operation)];
          start(worker);
        } else if (std::chrono::steady_clock::now() >= worker.end) {
          ASSERT_FALSE(worker.kills_itself) << "a worker hangs";
          ::kill(worker.process, SIGKILL);
          ASSERT_EQ(::waitpid(worker.process, &status, 0), worker.process);
          reap(worker, status);
          ++timed;
          start(worker);
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    for (Worker& worker : workers) {
      ::kill(worker.process, SIGKILL);
      int status = 0;
      ASSERT_EQ(::waitpid(worker.process, &status, 0), worker.process);
      ASSERT_TRUE(WIFSIGNALED(status)) << "a worker ended by itself: " << WEXITSTATUS(status);
    }
    if (HasFatalFailure()) return;
    const Status whole = check_after_crash(crash_options(files, folder), damaged);
    ASSERT_TRUE(whole.ok()) << "after " << kills << " kills: " << whole.to_string();
    ++checks;
  }
  std::printf(
      "%d processes killed (%d at a random time, %d before a call), %d checks, %llu damaged "
      "entries found after kills\n",
      kills, timed, kills - timed, checks, static_cast<unsigned long long>(damaged));
  for (size_t i = 0; i < at.size(); ++i) {
    if (at[i] > 0) std::printf("  before %-15s %d\n", kOperationNames[i], at[i]);
  }
  EXPECT_EQ(damaged, 0u) << "a kill cannot damage what was published";
  ::close(reports[0]);
  ::close(reports[1]);
  EXPECT_TRUE(files.remove_tree(root).ok());
}

}  // namespace
}  // namespace coreml_delegate::assets
