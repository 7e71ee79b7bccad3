#ifndef COREML_DELEGATE_RUNTIME_ASSETS_TESTING_CRASH_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_TESTING_CRASH_H_

// What the kill and the power-loss harness share: random work on a store, and what must hold after
// whatever interrupted it.

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/assets/asset_store.h"
#include "runtime/assets/testing_models.h"

namespace coreml_delegate::assets {

inline constexpr int kCrashModels = 6;
inline constexpr size_t kCrashBytes = 6000;

// Everything when COREML_DELEGATE_FULL_TESTS is set, else a sample.
inline int crash_count(int sample, int all) {
  const char* full = std::getenv("COREML_DELEGATE_FULL_TESTS");
  return full != nullptr && *full == '1' ? all : sample;
}

inline AssetStoreOptions crash_options(FileSystem& files, const std::string& folder) {
  AssetStoreOptions options;
  options.folder = folder;
  // Room for three of six: entries come and go.
  options.budget_bytes = 3 * (kCrashBytes + 7) + 100;
  options.free_floor_bytes = 0;
  options.files = &files;
  return options;
}

// One operation. corrupt_data when a damaged entry was handed out; other failures are the store's.
inline Status random_operation(AssetStore& store, FileSystem& files, std::mt19937_64& random) {
  const uint64_t choice = random() % 20;
  if (choice == 0) return store.purge().status();
  if (choice == 1) return store.verify().status();
  if (choice == 2) {
    const Status status =
        store.evict(test_key(static_cast<int>(random() % kCrashModels)).name()).status();
    const bool is_expected =
        status.code() == StatusCode::kNotFound || status.code() == StatusCode::kFailedPrecondition;
    return is_expected ? Status() : status;
  }
  const int model = static_cast<int>(random() % kCrashModels);
  const Result<Acquired> acquired = store.acquire(test_key(model), [&](const std::string& folder) {
    return compile_test_model(files, folder, model, kCrashBytes);
  });
  if (!acquired.ok()) return acquired.status();
  if (acquired->lease == nullptr) return {};
  const Status whole = check_test_model(files, acquired->lease->folder(), model, kCrashBytes);
  // What cannot be read now may be whole.
  const bool is_damaged =
      whole.code() == StatusCode::kCorruptData || whole.code() == StatusCode::kNotFound;
  if (!is_damaged) return {};
  return whole.annotate_as(StatusCode::kCorruptData, "a damaged entry was handed out");
}

// Opens the store with nobody else there and checks that it is as good as new: nothing is left
// over, no entry is damaged, and every model loads. `damaged` counts entries that were found and
// removed, never handed out.
inline Status check_after_crash(const AssetStoreOptions& options, uint64_t& damaged) {
  FileSystem& files = *options.files;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<AssetStore> store,
                                   AssetStore::open(options));
  const std::string root = join_path(options.folder, "coreml-delegate-1");
  for (const char* folder : {"staging", "trash", "private", "locks"}) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> left,
                                     files.list(join_path(root, folder)));
    for (const DirectoryEntry& entry : left) {
      if (entry.name != "sweep") {
        return internal_error("left over after a sweep", join_path(folder, entry.name));
      }
    }
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Verified verified, store->verify());
  damaged += verified.damaged.size();
  // Nothing takes space that is not counted.
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> there,
                                   files.list(join_path(root, "entries")));
  const StoreStats stats = store->stats();
  if (stats.mode != "read-write") return internal_error("is " + stats.mode, stats.mode_reason);
  if (stats.entries != there.size() || stats.bytes != there.size() * (kCrashBytes + 7)) {
    return internal_error("the index counts " + std::to_string(stats.entries) + " entries and " +
                          std::to_string(stats.bytes) + " bytes, there are " +
                          std::to_string(there.size()));
  }
  if (stats.bytes > options.budget_bytes) return internal_error("the budget does not hold");
  for (int model = 0; model < kCrashModels; ++model) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        const Acquired acquired, store->acquire(test_key(model), [&](const std::string& folder) {
          return compile_test_model(files, folder, model, kCrashBytes);
        }));
    if (acquired.lease == nullptr) return internal_error("no lease: " + acquired.why);
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_test_model(files, acquired.lease->folder(), model, kCrashBytes));
  }
  return {};
}

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_TESTING_CRASH_H_
