#include "runtime/assets/asset_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/sha256.h"
#include "kvstore/database.h"
#include "kvstore/store.h"
#include "runtime/assets/testing_models.h"
#include "runtime/assets/testing_store.h"

namespace coreml_delegate::assets {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr size_t kBytes = 10'000;

class AssetStoreTest : public StoreTest {};

TEST_F(AssetStoreTest, CompilesOnceThenHits) {
  auto store = open();
  const Acquired first = acquire(*store, 1);
  EXPECT_EQ(first.source, Source::kCompiled);
  EXPECT_EQ(first.why, "the model was never compiled here");
  const Acquired second = acquire(*store, 1);
  EXPECT_EQ(second.source, Source::kHit);
  EXPECT_EQ(second.why, "");
  EXPECT_EQ(second.lease->folder(), first.lease->folder());
  EXPECT_EQ(compilations_, 1);
  const StoreStats stats = store->stats();
  EXPECT_EQ(stats.mode, "read-write");
  EXPECT_EQ(stats.entries, 1u);
  EXPECT_EQ(stats.bytes, kBytes + 7);
  EXPECT_EQ(stats.hits, 1u);
  EXPECT_EQ(stats.misses, 1u);
}

TEST_F(AssetStoreTest, AnotherProcessHits) {
  { acquire(*open(), 1); }
  EXPECT_EQ(acquire(*open(), 1).source, Source::kHit);
  EXPECT_EQ(compilations_, 1);
}

TEST_F(AssetStoreTest, MissSaysWhatChanged) {
  auto store = open();
  acquire(*store, 1);
  EXPECT_THAT(acquire(*store, test_key(1, "engine 2"), 1).why,
              HasSubstr("compiled for the fingerprint \"engine 1\", but here it is \"engine 2\""));
  EXPECT_THAT(acquire(*store, test_key(1, "engine 1", "decode"), 1).why,
              HasSubstr("for the function \"main\", but here it is \"decode\""));
  // The entry that is most alike is named, and all that differs from it.
  EXPECT_THAT(acquire(*store, test_key(1, "engine 2", "decode"), 1).why,
              AllOf(HasSubstr("here it is"), Not(HasSubstr("; for the"))));
  EXPECT_THAT(acquire(*store, test_key(1, "engine 3", "third"), 1).why,
              AllOf(HasSubstr("here it is \"engine 3\""), HasSubstr("; for the function")));
  AssetKey unexplained = test_key(1);
  unexplained.request += "x";
  EXPECT_THAT(acquire(*store, unexplained, 1).why, HasSubstr("another request"));
}

TEST_F(AssetStoreTest, FailedCompilationIsItsCallersAndLeavesNothing) {
  auto store = open();
  const Result<Acquired> failed = store->acquire(test_key(1), [&](const std::string& folder) {
    EXPECT_TRUE(compile_test_model(files_, folder, 1, 10).ok());
    return unsupported("no such operation", "op");
  });
  EXPECT_EQ(failed.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(failed.status().artifact(), "op");
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_EQ(acquire(*store, 1).source, Source::kCompiled);
}

// A size_t total stored through int turned negative above 2 GiB, and eviction never ran again.
TEST_F(AssetStoreTest, TotalsAboveFourGibibytesAreCountedAndEvicted) {
  constexpr uint64_t kLarge = uint64_t{5} << 30;  // Sparse.
  {
    open();
    for (int i = 0; i < 3; ++i) plant_sparse_entry(i, kLarge + static_cast<uint64_t>(i));
  }
  options_.budget_bytes = uint64_t{100} << 30;
  auto store = open();
  EXPECT_EQ(store->stats().bytes, 3 * kLarge + 3);
  EXPECT_EQ(store->list()->size(), 3u);
  const Removed removed = *store->evict_to(2 * kLarge + 10);
  EXPECT_EQ(removed.entries, 1u);
  EXPECT_EQ(removed.bytes, kLarge);
  store = nullptr;
  options_.budget_bytes = kLarge + 5;
  store = open();
  EXPECT_EQ(store->stats().bytes, kLarge + 2) << "the newest is left, the budget held at opening";
}

// An access clock that restarts at every open.
TEST_F(AssetStoreTest, OrderOfUseGoesOnAfterReopening) {
  for (const int model : {1, 2, 3}) acquire(*open(), model);
  acquire(*open(), 1);
  options_.budget_bytes = 2 * (kBytes + 7);
  auto store = open();
  EXPECT_THAT(models_in(*store), UnorderedElementsAre(1, 3));
}

// Eviction bumped what it looked at and never ended; least frequently used took the newest first.
TEST_F(AssetStoreTest, EvictsTheLeastRecentlyUsedNotTheNewest) {
  options_.budget_bytes = 3 * (kBytes + 7);
  auto store = open();
  for (int i = 0; i < 10; ++i) acquire(*store, 1);
  for (int i = 0; i < 10; ++i) acquire(*store, 2);
  acquire(*store, 3);
  acquire(*store, 4);
  EXPECT_THAT(models_in(*store), UnorderedElementsAre(2, 3, 4));
  (void)store->list();
  (void)store->verify();
  acquire(*store, 5);
  EXPECT_THAT(models_in(*store), UnorderedElementsAre(3, 4, 5))
      << "looking at entries is no use of them";
  EXPECT_EQ(store->stats().evictions, 2u);
}

TEST_F(AssetStoreTest, EntriesOfOldFingerprintsGoFirst) {
  options_.budget_bytes = 3 * (kBytes + 7);
  auto store = open();
  acquire(*store, test_key(1, "engine 2"), 1);
  acquire(*store, test_key(2, "engine 1"), 2);
  acquire(*store, test_key(3, "engine 2"), 3);
  acquire(*store, test_key(4, "engine 2"), 4);
  EXPECT_THAT(models_in(*store), UnorderedElementsAre(1, 3, 4));
}

// Absolute paths in the index are lost when an app update moves its container.
TEST_F(AssetStoreTest, FolderMayBeMoved) {
  for (const int model : {1, 2, 3}) acquire(*open(), model);
  const std::string elsewhere = at("moved");
  ASSERT_TRUE(files_.rename(options_.folder, elsewhere).ok());
  options_.folder = elsewhere;
  auto store = open();
  for (const int model : {1, 2, 3}) EXPECT_EQ(acquire(*store, model).source, Source::kHit);
  EXPECT_EQ(compilations_, 3);
}

// Validation by modification time only: a damaged entry gave wrong numbers (ET 16492).
TEST_F(AssetStoreTest, DamageThatKeepsSizeAndTimeIsFoundAndMended) {
  acquire(*open(), 1);
  const std::string path = join_path(content_folder(1), "weights.bin");
  struct stat before;
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('\x7f');
  }
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  auto store = open();
  const Acquired again = acquire(*store, 1);  // Checks the content.
  EXPECT_EQ(again.source, Source::kCompiled);
  EXPECT_THAT(again.why, HasSubstr("wrong checksum"));
  EXPECT_EQ(store->stats().damaged, 1u);
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_EQ(acquire(*open(), 1).source, Source::kHit);
}

TEST_F(AssetStoreTest, VerificationByOption) {
  acquire(*open(), 1);
  auto first_use = open();
  options_.verification = Verification::kFull;
  auto full = open();
  options_.verification = Verification::kNone;
  auto none = open();
  for (AssetStore* store : {first_use.get(), full.get(), none.get()}) acquire(*store, 1);
  flip_byte(join_path(content_folder(1), "weights.bin"), 77);
  const auto compile = [](const std::string&) { return cancelled("not again"); };
  EXPECT_TRUE(first_use->acquire(test_key(1), compile).ok()) << "verified before in this process";
  EXPECT_TRUE(none->acquire(test_key(1), compile).ok());
  EXPECT_EQ(full->acquire(test_key(1), compile).status().code(), StatusCode::kCancelled);
}

TEST_F(AssetStoreTest, SizesAreComparedWhateverTheOption) {
  options_.verification = Verification::kNone;
  acquire(*open(), 1);
  std::ofstream(join_path(content_folder(1), "weights.bin"), std::ios::app) << "x";
  EXPECT_EQ(acquire(*open(), 1).source, Source::kCompiled);
}

// Purge and eviction removed entries that were open.
TEST_F(AssetStoreTest, NothingThatIsOpenIsRemoved) {
  auto store = open();
  const Acquired open_one = acquire(*store, 1);
  acquire(*store, 2);
  EXPECT_THAT(in_use(*store), ElementsAre(1));
  auto other = open();
  for (AssetStore* purging : {store.get(), other.get()}) {
    const Removed removed = *purging->purge();
    EXPECT_EQ(removed.in_use, 1u);
    EXPECT_THAT(models_in(*store), ElementsAre(1));
  }
  EXPECT_EQ(other->evict(test_key(1).name()).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(check_test_model(files_, open_one.lease->folder(), 1, kBytes).ok());
}

TEST_F(AssetStoreTest, LeaseOutlivesItsStore) {
  Acquired acquired = acquire(*open(), 1);
  EXPECT_EQ(open()->purge()->in_use, 1u);
  acquired.lease = nullptr;
  EXPECT_EQ(open()->purge()->entries, 1u);
}

// remove-then-rename is no publish: what lies in the way is moved away whole.
TEST_F(AssetStoreTest, WhatLiesInTheWayIsReplaced) {
  open();
  const std::string entry = entry_folder(1);
  ASSERT_TRUE(files_.make_directory(entry).ok());
  std::ofstream(join_path(entry, "half")) << "x";
  auto store = open();
  EXPECT_EQ(acquire(*store, 1).source, Source::kCompiled);
  EXPECT_EQ(files_.info(join_path(entry, "half")).status().code(), StatusCode::kNotFound);
}

// Two caches that share one folder deleted each other's entries.
TEST_F(AssetStoreTest, OtherFilesInTheFolderAreLeftAlone) {
  ASSERT_TRUE(files_.make_directory(options_.folder).ok());
  ASSERT_TRUE(files_.make_directory(at("cache/models")).ok());
  std::ofstream(at("cache/models/other")) << "x";
  std::ofstream(at("cache/index.db")) << "other's";
  auto store = open();
  acquire(*store, 1);
  std::ofstream(at("cache/coreml-delegate-1/entries/README")) << "x";
  ASSERT_TRUE(store->purge().ok());
  open();
  EXPECT_TRUE(files_.info(at("cache/models/other")).ok());
  EXPECT_TRUE(files_.info(at("cache/index.db")).ok());
  EXPECT_TRUE(files_.info(at("cache/coreml-delegate-1/entries/README")).ok());
}

TEST_F(AssetStoreTest, TwoStoresWithOneFolderShareIt) {
  auto a = open();
  auto b = open();
  acquire(*a, 1);
  EXPECT_EQ(acquire(*b, 1).source, Source::kHit);
  acquire(*b, 2);
  EXPECT_EQ(acquire(*a, 2).source, Source::kHit);
  EXPECT_EQ(a->stats().entries, 2u);
  EXPECT_EQ(b->stats().bytes, a->stats().bytes);
}

TEST_F(AssetStoreTest, LostIndexIsRebuiltFromTheFiles) {
  for (const int model : {1, 2}) acquire(*open(), model);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    (void)files_.remove_file(at("cache/coreml-delegate-1/index.db") + suffix);
  }
  auto store = open();
  EXPECT_EQ(store->stats().entries, 2u);
  EXPECT_EQ(store->stats().bytes, 2 * (kBytes + 7));
  EXPECT_EQ(acquire(*store, 1).source, Source::kHit);
}

TEST_F(AssetStoreTest, DamagedIndexIsReplaced) {
  for (const int model : {1, 2}) acquire(*open(), model);
  std::ofstream(at("cache/coreml-delegate-1/index.db")) << std::string(9000, 'x');
  auto store = open();
  EXPECT_EQ(store->stats().entries, 2u);
  EXPECT_EQ(acquire(*store, 2).source, Source::kHit);
}

// What an earlier version left: its entries are never found again, and go when there is no room.
TEST_F(AssetStoreTest, AnEarlierFormatIsKeptInBoundsAndItsIndexMadeAnew) {
  acquire(*open(), 1);
  const std::string root = at("cache/coreml-delegate-1/");
  const std::string name(64, 'b');
  ASSERT_TRUE(files_.make_directory(root + "entries/" + name).ok());
  ASSERT_TRUE(files_.make_directory(root + "entries/" + name + "/content").ok());
  std::ofstream(root + "entries/" + name + "/content/graph.ov") << "twelve bytes";
  std::ofstream(root + "entries/" + name + "/lease").flush();
  const std::string digest(64, 'a');
  const std::string line =
      R"({"compute_units":"all","content":")" + digest + R"(","created_ms":5,"engine":"test",)" +
      R"("files":[{"path":"graph.ov","sha256":[")" + digest + R"("],"size":12}],)" +
      R"("format":"coreml-delegate asset 1","nonce":"n"})" + "\n";
  std::ofstream(root + "entries/" + name + "/manifest.json")
      << line << to_hex(sha256(as_bytes(line))) << "\n";
  for (const char* suffix : {"", "-wal", "-shm"})
    (void)files_.remove_file(root + "index.db" + suffix);
  {
    auto database = *kvstore::Database::open(root + "index.db", {});
    auto rows = *kvstore::Store<std::string, std::string>::open(
        *database, "entries", {.track_access = true, .track_size = true});
    ASSERT_TRUE(rows.put(name, "{}", 12).ok());
  }
  {
    auto store = open();
    EXPECT_EQ(store->stats().bytes, kBytes + 7 + 12);
    EXPECT_THAT(store->verify()->damaged, IsEmpty());
    const std::vector<EntryInfo> entries = *store->list();
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries[1].entry.name, name) << "made long ago, used least recently";
    EXPECT_EQ(entries[1].entry.attributes.at("compute_units"), "all");
    EXPECT_EQ(acquire(*store, 1).source, Source::kHit);
  }
  EXPECT_FALSE((*AssetIndex::open(root + "index.db"))->is_in_memory());
  options_.budget_bytes = kBytes + 10;
  EXPECT_THAT(models_in(*open()), ElementsAre(1));
  EXPECT_FALSE(files_.info(root + "entries/" + name).ok());
}

TEST_F(AssetStoreTest, IndexThatCannotBeWrittenIsNoObstacle) {
  acquire(*open(), 1);
  ASSERT_TRUE(files_.remove_file(at("cache/coreml-delegate-1/index.db")).ok());
  ASSERT_TRUE(files_.make_directory(at("cache/coreml-delegate-1/index.db")).ok());
  auto store = open();
  EXPECT_EQ(acquire(*store, 1).source, Source::kHit);
  acquire(*store, 2);
  EXPECT_EQ(store->stats().entries, 2u);
}

TEST_F(AssetStoreTest, IndexThatLiesIsCorrected) {
  acquire(*open(), 1);
  {
    auto index = *AssetIndex::open(at("cache/coreml-delegate-1/index.db"));
    IndexEntry ghost = index->list()->front();
    ghost.name = std::string(64, 'a');
    ghost.bytes = uint64_t{1} << 60;
    ASSERT_TRUE(index->put(ghost).ok());
  }
  auto store = open();
  EXPECT_EQ(store->stats().entries, 1u);
  EXPECT_EQ(store->stats().bytes, kBytes + 7);
}

TEST_F(AssetStoreTest, WhatDeadProcessesLeftIsSwept) {
  auto living = open();
  const Acquired kept = acquire(*living, 1);
  const std::string root = at("cache/coreml-delegate-1/");
  for (const std::string& folder :
       {"staging/" + test_key(2).name(), std::string("trash/x"), std::string("private/y")}) {
    ASSERT_TRUE(files_.make_directory(root + folder).ok());
    std::ofstream(root + folder + "/file") << "x";
  }
  std::ofstream(root + "private/y/lease");
  std::ofstream(root + "locks/" + test_key(2).name() + ".lock");
  open();
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_TRUE(check_test_model(files_, kept.lease->folder(), 1, kBytes).ok());
}

TEST_F(AssetStoreTest, UnknownEntryWithoutAManifestIsRemovedAtOpening) {
  acquire(*open(), 1);
  ASSERT_TRUE(files_.remove_file(at("cache/coreml-delegate-1/index.db")).ok());
  ASSERT_TRUE(files_.remove_file(join_path(entry_folder(1), "manifest.json")).ok());
  auto store = open();
  EXPECT_EQ(store->stats().damaged, 1u);
  EXPECT_EQ(files_.info(entry_folder(1)).status().code(), StatusCode::kNotFound);
}

TEST_F(AssetStoreTest, ManifestOfAnotherModelIsNotBelieved) {
  acquire(*open(), 1);
  acquire(*open(), 2);
  ASSERT_TRUE(files_.remove_tree(entry_folder(1)).ok());
  ASSERT_TRUE(files_.rename(entry_folder(2), entry_folder(1)).ok());
  auto store = open();
  EXPECT_EQ(acquire(*store, 1).source, Source::kCompiled);
}

TEST_F(AssetStoreTest, EntryLargerThanTheBudgetIsUsedAndNotKept) {
  options_.budget_bytes = kBytes / 2;
  auto store = open();
  Acquired acquired = acquire(*store, 1);
  EXPECT_EQ(acquired.source, Source::kPrivate);
  EXPECT_THAT(acquired.why, HasSubstr("larger than the budget"));
  open();
  EXPECT_TRUE(check_test_model(files_, acquired.lease->folder(), 1, kBytes).ok())
      << "a sweep leaves it while it is in use";
  acquired.lease = nullptr;
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_EQ(store->stats().entries, 0u);
}

TEST_F(AssetStoreTest, BudgetHoldsWhenEverythingIsInUse) {
  options_.budget_bytes = 2 * (kBytes + 7) + 100;
  auto store = open();
  std::vector<Acquired> held;
  for (const int model : {1, 2, 3}) held.push_back(acquire(*store, model));
  EXPECT_EQ(held[1].source, Source::kCompiled);
  EXPECT_EQ(held[2].source, Source::kPrivate);
  EXPECT_LE(store->stats().bytes, options_.budget_bytes);
}

TEST_F(AssetStoreTest, ReportedDamageIsNotHandedOutAgain) {
  auto store = open();
  Acquired acquired = acquire(*store, 1);
  EXPECT_TRUE(
      store->report_damaged(std::move(acquired.lease), corrupt_data("the engine says")).ok());
  EXPECT_EQ(files_.info(entry_folder(1)).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(acquire(*store, 1).source, Source::kCompiled);
}

TEST_F(AssetStoreTest, ReportedDamageThatOthersUseStaysForThem) {
  auto store = open();
  auto other = open();
  const Acquired used = acquire(*other, 1);
  Acquired acquired = acquire(*store, 1);
  EXPECT_EQ(store->report_damaged(std::move(acquired.lease), corrupt_data("x")).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_TRUE(check_test_model(files_, used.lease->folder(), 1, kBytes).ok());
  const Result<Acquired> again =
      store->acquire(test_key(1), [](const std::string&) { return Status(); });
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->lease, nullptr) << "neither handed out nor taken from the other";
}

TEST_F(AssetStoreTest, VerifyFindsDamageAndRemovesIt) {
  auto store = open();
  for (const int model : {1, 2, 3}) acquire(*store, model);
  flip_byte(join_path(content_folder(2), "weights.bin"), 9999);
  const Verified verified = *store->verify();
  EXPECT_EQ(verified.entries, 3u);
  EXPECT_EQ(verified.bytes, 3 * (kBytes + 7));
  ASSERT_EQ(verified.damaged.size(), 1u);
  EXPECT_THAT(verified.damaged[0].to_string(), HasSubstr("weights.bin"));
  EXPECT_THAT(models_in(*store), UnorderedElementsAre(1, 3));
}

TEST_F(AssetStoreTest, EvictsByName) {
  auto store = open();
  acquire(*store, 1);
  acquire(*store, 2);
  EXPECT_EQ(store->evict("nothing").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store->evict("").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store->evict(test_key(1).name().substr(0, 20))->bytes, kBytes + 7);
  EXPECT_THAT(models_in(*store), ElementsAre(2));
}

TEST_F(AssetStoreTest, OptionsThatMeanNothingAreRefused) {
  options_.folder = "";
  EXPECT_EQ(AssetStore::open(options_).status().code(), StatusCode::kInvalidArgument);
  options_.folder = std::string("/tmp/a\0b", 8);
  EXPECT_EQ(AssetStore::open(options_).status().code(), StatusCode::kInvalidArgument);
  options_.folder = at("cache");
  options_.budget_bytes = 0;
  EXPECT_EQ(AssetStore::open(options_).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(AssetStoreTest, KeysThatAreNotTextAreNotKept) {
  auto store = open();
  AssetKey request = test_key(1);
  request.request = "\xff";
  AssetKey attribute = test_key(1);
  attribute.attributes["function"] = "\xff";
  for (const AssetKey& key : {request, attribute}) {
    EXPECT_EQ(store->acquire(key, [](const std::string&) { return Status(); })->lease, nullptr);
  }
}

// --- Threads

TEST_F(AssetStoreTest, ThreadsThatNeedTheSameCompileItOnce) {
  auto store = open();
  std::vector<std::thread> threads;
  std::atomic<int> hits = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const Result<Acquired> acquired = store->acquire(test_key(1), [&](const std::string& folder) {
        ++compilations_;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return compile_test_model(files_, folder, 1, kBytes);
      });
      ASSERT_TRUE(acquired.ok());
      ASSERT_NE(acquired->lease, nullptr);
      EXPECT_TRUE(check_test_model(files_, acquired->lease->folder(), 1, kBytes).ok());
      hits += acquired->source == Source::kHit ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compilations_, 1);
  EXPECT_EQ(hits, 7);
}

TEST_F(AssetStoreTest, FailureOfOneCompilerIsNotTheOthers) {
  auto store = open();
  std::vector<std::thread> threads;
  std::atomic<int> attempts = 0;
  std::atomic<int> successes = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const Result<Acquired> acquired =
          store->acquire(test_key(1), [&](const std::string& folder) -> Status {
            if (++attempts == 1) return engine_failure("out of luck");
            return compile_test_model(files_, folder, 1, kBytes);
          });
      successes += acquired.ok() && acquired->lease != nullptr ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(attempts, 2);
  EXPECT_EQ(successes, 3);
}

TEST_F(AssetStoreTest, OneGoesOnAloneWhenWaitingTakesTooLong) {
  options_.wait_for_compile = std::chrono::milliseconds(0);
  auto store = open();
  auto other = open();
  const Result<Acquired> outer = store->acquire(test_key(1), [&](const std::string& folder) {
    const Result<Acquired> inner =
        other->acquire(test_key(1), [](const std::string&) { return Status(); });
    EXPECT_TRUE(inner.ok());
    EXPECT_EQ(inner->lease, nullptr);
    EXPECT_THAT(inner->why, HasSubstr("is compiling the model, and has taken longer"));
    return compile_test_model(files_, folder, 1, kBytes);
  });
  ASSERT_TRUE(outer.ok());
  EXPECT_EQ(outer->source, Source::kCompiled);
}

// A child would inherit this process's threads' locks: each opens the store by itself.
TEST_F(AssetStoreTest, ProcessesThatNeedTheSameCompileItOnce) {
  const std::string counts = at("counts");
  std::ofstream(counts).flush();
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      const Result<std::unique_ptr<AssetStore>> store = AssetStore::open(options_);
      if (!store.ok()) ::_exit(1);
      const Result<Acquired> acquired =
          (*store)->acquire(test_key(1), [&](const std::string& folder) {
            std::ofstream(counts, std::ios::app) << "x" << std::flush;
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            return compile_test_model(files_, folder, 1, kBytes);
          });
      const bool good = acquired.ok() && acquired->lease != nullptr &&
                        check_test_model(files_, acquired->lease->folder(), 1, kBytes).ok();
      ::_exit(good ? 0 : 2);
    }
    ASSERT_GT(child, 0);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_EQ(files_.info(counts)->size, 1u);
  EXPECT_THAT(leftovers(), IsEmpty());
}

// Models in use come and go under a budget for two while four threads use six.
TEST_F(AssetStoreTest, ThreadsNeverSeeADamagedOrHalfEntry) {
  options_.budget_bytes = 2 * (kBytes + 7);
  auto store = open();
  auto other = open();
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      AssetStore& mine = t % 2 == 0 ? *store : *other;
      for (int i = 0; i < 25; ++i) {
        const int model = (i * 7 + t) % 6;
        const Result<Acquired> acquired =
            mine.acquire(test_key(model), [&](const std::string& folder) {
              return compile_test_model(files_, folder, model, kBytes);
            });
        if (!acquired.ok()) {
          ++failures;
        } else if (acquired->lease != nullptr) {
          failures +=
              check_test_model(files_, acquired->lease->folder(), model, kBytes).ok() ? 0 : 1;
        }
        if (i % 10 == 9) failures += mine.purge().ok() ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_LE(store->stats().bytes, options_.budget_bytes);
  store = open();
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_THAT(store->verify()->damaged, IsEmpty());
}

}  // namespace
}  // namespace coreml_delegate::assets
