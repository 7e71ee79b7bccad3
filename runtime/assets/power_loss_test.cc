// Power is lost at random calls: unsynced content is dropped, torn or zeroed, changes of folders
// are reordered, and the index is lost, old, cut short or overwritten. COREML_DELEGATE_FULL_TESTS=1
// loses it 5,000 times.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/logging.h"
#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"
#include "runtime/assets/testing_crash.h"

namespace coreml_delegate::assets {
namespace {

// What a disk may have left of the index. SQLite does better; the store must not need that.
void damage_index(const std::string& path, std::mt19937_64& random) {
  FileSystem& files = real_file_system();
  switch (random() % 4) {
    case 0:
      return;
    case 1:
      for (const char* suffix : {"", "-wal", "-shm"}) (void)files.remove_file(path + suffix);
      return;
    case 2:
      (void)files.remove_file(path + "-wal");
      // Fails when the index was never made.
      if (::truncate(path.c_str(), static_cast<off_t>(random() % 20'000)) != 0) return;
      return;
    default: {
      (void)files.remove_file(path + "-wal");
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(random() % 16'384));
      file << std::string(random() % 5000, '\x33');
    }
  }
}

TEST(PowerLossTest, StoreIsWholeWhateverReachedTheDisk) {
  FileSystem& real = real_file_system();
  const std::string root = *real.make_unique_directory(testing::TempDir(), "power_loss_test.");
  const LogLevel level = set_log_level(LogLevel::kError);
  const int losses = crash_count(150, 5000);
  const uint64_t base_seed = 20260802;
  uint64_t damaged = 0;
  uint64_t dropped = 0;
  uint64_t torn = 0;
  std::unique_ptr<InMemoryFiles> disk;
  std::string index;
  for (int i = 0; i < losses; ++i) {
    std::mt19937_64 random(base_seed + static_cast<uint64_t>(i));
    // One disk goes through several losses.
    if (i % 10 == 0) {
      if (disk != nullptr) {
        dropped += disk->losses().entries_dropped;
        torn += disk->losses().files_torn;
      }
      disk = std::make_unique<InMemoryFiles>();
      index = join_path(root, "index" + std::to_string(i));
    }
    {
      FailingFileSystem files(*disk);
      AssetStoreOptions options = crash_options(files, "/cache");
      options.index_path = index;
      // From the moment power is lost, nothing happens any more.
      files.fail_call(1 + random() % 250, io_error("no power"), /*all_after=*/true);
      const Result<std::unique_ptr<AssetStore>> store = AssetStore::open(options);
      ASSERT_TRUE(store.ok());
      for (int k = 0; k < 12; ++k) {
        const Status status = random_operation(**store, files, random);
        ASSERT_NE(status.code(), StatusCode::kCorruptData)
            << "seed " << base_seed + static_cast<uint64_t>(i) << ": " << status.to_string();
      }
    }
    disk->lose_power(random());
    damage_index(index, random);
    AssetStoreOptions options = crash_options(*disk, "/cache");
    options.index_path = index;
    const Status whole = check_after_crash(options, damaged);
    ASSERT_TRUE(whole.ok()) << "seed " << base_seed + static_cast<uint64_t>(i) << ": "
                            << whole.to_string();
  }
  dropped += disk->losses().entries_dropped;
  torn += disk->losses().files_torn;
  std::printf(
      "power lost %d times: %llu changes of folders and %llu contents did not survive; %llu "
      "damaged entries found afterwards\n",
      losses, static_cast<unsigned long long>(dropped), static_cast<unsigned long long>(torn),
      static_cast<unsigned long long>(damaged));
  EXPECT_GT(dropped, static_cast<uint64_t>(losses));
  EXPECT_EQ(damaged, 0u) << "what is published was synced before";
  set_log_level(level);
  EXPECT_TRUE(real.remove_tree(root).ok());
}

}  // namespace
}  // namespace coreml_delegate::assets
