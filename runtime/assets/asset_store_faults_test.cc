// A store on folders that are full, read-only, missing or without locks: nobody is stopped, and
// each reason is said once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/logging.h"
#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"
#include "runtime/assets/asset_store.h"
#include "runtime/assets/testing_models.h"
#include "runtime/assets/testing_store.h"

namespace coreml_delegate::assets {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string>& warnings() {
  static std::vector<std::string> list;
  return list;
}
void keep_warnings(LogLevel level, const char* /*file*/, int /*line*/, std::string_view message) {
  if (level == LogLevel::kWarning) warnings().emplace_back(message);
}

class FaultsTest : public StoreTest {
 protected:
  FaultsTest() {
    warnings().clear();
    set_log_sink(keep_warnings);
  }
  ~FaultsTest() override { set_log_sink(nullptr); }

  // As acquire(), through the file system that may fail; a lease is not expected.
  Acquired try_acquire(AssetStore& store, int model) {
    const Result<Acquired> acquired =
        store.acquire(test_key(model), [&](const std::string& folder) {
          ++compilations_;
          return compile_test_model(failing_, folder, model, kModelBytes);
        });
    EXPECT_TRUE(acquired.ok()) << acquired.status().to_string();
    return acquired.ok() ? *acquired : Acquired();
  }
  std::unique_ptr<AssetStore> open_failing() {
    options_.files = &failing_;
    return open();
  }
  int said(const std::string& part) {
    int count = 0;
    for (const std::string& text : warnings()) {
      count += text.find(part) == std::string::npos ? 0 : 1;
    }
    return count;
  }

  FailingFileSystem failing_{real_file_system()};
};

TEST_F(FaultsTest, FullDiskWhileCompilingRunsWithoutTheStore) {
  auto store = open_failing();
  failing_.fail_operation(FileOperation::kAppend, resource_exhausted("disk full"));
  for (int i = 0; i < 3; ++i) {
    const Acquired acquired = try_acquire(*store, 1);
    EXPECT_EQ(acquired.lease, nullptr);
    EXPECT_THAT(acquired.why, HasSubstr("disk full"));
  }
  EXPECT_EQ(said("disk full"), 1);
  EXPECT_EQ(store->stats().uncached, 3u);
  EXPECT_THAT(leftovers(), IsEmpty());
  failing_.clear();
  EXPECT_EQ(try_acquire(*store, 1).source, Source::kCompiled);
}

TEST_F(FaultsTest, FloorOfFreeDiskSpaceIsKept) {
  acquire(*open(), 1);
  options_.free_floor_bytes = UINT64_MAX;
  auto store = open();
  acquire(*store, 1);
  EXPECT_EQ(store->stats().hits, 1u) << "what is there is used";
  const Acquired acquired = try_acquire(*store, 2);
  EXPECT_EQ(acquired.lease, nullptr);
  EXPECT_THAT(acquired.why, HasSubstr("free some disk space"));
  EXPECT_EQ(store->stats().entries, 0u) << "what nobody uses gives its space back";
}

TEST_F(FaultsTest, ReadOnlyFolderServesWhatItHas) {
  acquire(*open(), 1);
  for (const FileOperation operation :
       {FileOperation::kCreate, FileOperation::kMakeDirectory, FileOperation::kRename,
        FileOperation::kRemoveFile, FileOperation::kRemoveTree}) {
    failing_.fail_operation(operation, io_error("read-only file system"));
  }
  auto store = open_failing();
  EXPECT_EQ(store->stats().mode, "read-only");
  EXPECT_THAT(store->stats().mode_reason, HasSubstr("read-only file system"));
  EXPECT_EQ(store->stats().entries, 1u);
  EXPECT_EQ(try_acquire(*store, 1).source, Source::kHit);
  EXPECT_EQ(try_acquire(*store, 2).lease, nullptr);
  EXPECT_EQ(try_acquire(*store, 3).lease, nullptr);
  EXPECT_EQ(compilations_, 1);
  EXPECT_EQ(store->purge().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(said("read-only file system"), 1);
  EXPECT_TRUE(store->verify()->damaged.empty());
}

TEST_F(FaultsTest, FolderThatCannotBeMadeTurnsTheStoreOff) {
  std::ofstream(at("file")) << "x";
  options_.folder = at("file/cache");
  auto store = open();
  EXPECT_EQ(store->stats().mode, "off");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(try_acquire(*store, i).lease, nullptr);
  EXPECT_EQ(said(at("file/cache")), 2) << "why, and that a load goes on without";
}

TEST_F(FaultsTest, MissingParentsAreMade) {
  options_.folder = at("a/b/c/cache");
  EXPECT_EQ(open()->stats().mode, "read-write");
}

// Some network file systems.
TEST_F(FaultsTest, WithoutLocksEntriesArePrivate) {
  failing_.fail_operation(FileOperation::kLock, unsupported("no locks here"));
  auto store = open_failing();
  EXPECT_EQ(store->stats().mode, "private");
  auto other = open_failing();
  Acquired a = try_acquire(*store, 1);
  Acquired b = try_acquire(*other, 1);
  ASSERT_NE(a.lease, nullptr);
  ASSERT_NE(b.lease, nullptr);
  EXPECT_EQ(a.source, Source::kPrivate);
  EXPECT_NE(a.lease->folder(), b.lease->folder());
  EXPECT_TRUE(check_test_model(files_, a.lease->folder(), 1, kModelBytes).ok());
  const std::string folder = a.lease->folder();
  a.lease = nullptr;
  EXPECT_EQ(files_.info(folder).status().code(), StatusCode::kNotFound);
  open_failing();
  EXPECT_TRUE(check_test_model(files_, b.lease->folder(), 1, kModelBytes).ok());
  b.lease = nullptr;
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(FaultsTest, ProcessWithoutFileHandlesRemovesNothing) {
  acquire(*open(), 1);
  auto store = open_failing();
  failing_.fail_operation(FileOperation::kMap, resource_exhausted("too many open files"));
  EXPECT_EQ(try_acquire(*store, 1).lease, nullptr);
  failing_.clear();
  EXPECT_EQ(try_acquire(*store, 1).source, Source::kHit) << "it is not damaged";
}

// Every call fails once, or the disk for good from there on: always an answer, never a damaged
// entry, and nothing is left behind.
TEST_F(FaultsTest, AnyCallMayFail) {
  for (const bool all_after : {false, true}) {
    for (uint64_t call = 1;; ++call) {
      InMemoryFiles memory;
      FailingFileSystem failing(memory);
      options_.files = &failing;
      options_.folder = "/cache";
      options_.index_path = ":memory:";
      const auto compile = [&](int model) {
        return [&failing, model](const std::string& folder) {
          return compile_test_model(failing, folder, model, 1000);
        };
      };
      failing.fail_call(call, io_error("injected"), all_after);
      uint64_t calls = 0;
      {
        auto store = open();
        for (const int model : {1, 2, 1}) {
          const Result<Acquired> acquired = store->acquire(test_key(model), compile(model));
          ASSERT_TRUE(acquired.ok()) << call << ": " << acquired.status().to_string();
          if (acquired->lease == nullptr) continue;
          const Status whole = check_test_model(memory, acquired->lease->folder(), model, 1000);
          ASSERT_TRUE(whole.ok()) << call << ": " << whole.to_string();
        }
        (void)store->evict(test_key(2).name());
        calls = failing.calls();
      }
      failing.clear();
      auto store = open();
      ASSERT_EQ(store->stats().mode, "read-write");
      ASSERT_TRUE(store->verify()->damaged.empty()) << call;
      for (const int model : {1, 2}) {
        ASSERT_NE(store->acquire(test_key(model), compile(model))->lease, nullptr) << call;
      }
      for (const std::string& path : memory.paths()) {
        for (const char* part : {"/staging/", "/trash/", "/private/", ".lock"}) {
          ASSERT_EQ(path.find(part), std::string::npos) << call << ": " << path;
        }
      }
      if (calls < call) {
        EXPECT_GT(call, 50u);
        break;
      }
    }
  }
}

}  // namespace
}  // namespace coreml_delegate::assets
