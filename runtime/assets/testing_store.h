#ifndef COREML_DELEGATE_RUNTIME_ASSETS_TESTING_STORE_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_TESTING_STORE_H_

// A store in a folder of its own, for tests.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "runtime/assets/asset_store.h"
#include "runtime/assets/testing_models.h"

namespace coreml_delegate::assets {

class StoreTest : public testing::Test {
 protected:
  static constexpr size_t kModelBytes = 10'000;

  StoreTest() : root_(*files_.make_unique_directory(testing::TempDir(), "assets.")) {
    options_.folder = at("cache");
    options_.free_floor_bytes = 0;
  }
  ~StoreTest() override { EXPECT_TRUE(files_.remove_tree(root_).ok()); }

  std::string at(const std::string& name) const { return join_path(root_, name); }
  std::string entry_folder(int model) const {
    return at("cache/coreml-delegate-1/entries/" + test_key(model).name());
  }
  std::string content_folder(int model) const { return join_path(entry_folder(model), "content"); }

  // A new store object, as another process would have.
  std::unique_ptr<AssetStore> open() {
    Result<std::unique_ptr<AssetStore>> store = AssetStore::open(options_);
    EXPECT_TRUE(store.ok()) << store.status().to_string();
    return *std::move(store);
  }

  // Expects a lease, whose content is then compared.
  Acquired acquire(AssetStore& store, const AssetKey& key, int model) {
    const Result<Acquired> acquired = store.acquire(key, [&](const std::string& folder) {
      ++compilations_;
      return compile_test_model(files_, folder, model, kModelBytes);
    });
    EXPECT_TRUE(acquired.ok()) << acquired.status().to_string();
    if (!acquired.ok()) return {};
    EXPECT_NE(acquired->lease, nullptr) << acquired->why;
    if (acquired->lease != nullptr) {
      const Status whole = check_test_model(files_, acquired->lease->folder(), model, kModelBytes);
      EXPECT_TRUE(whole.ok()) << whole.to_string();
    }
    return *acquired;
  }
  Acquired acquire(AssetStore& store, int model) { return acquire(store, test_key(model), model); }

  // The models of the entries there are, by their content.
  std::vector<int> models_in(AssetStore& store, bool only_in_use = false) {
    std::vector<int> models;
    const Result<std::vector<EntryInfo>> list = store.list();
    EXPECT_TRUE(list.ok()) << list.status().to_string();
    for (const EntryInfo& info : *list) {
      if (only_in_use && !info.is_in_use) continue;
      for (int model = 0; model < 20; ++model) {
        if (info.entry.content == to_hex(test_key(model).content)) models.push_back(model);
      }
    }
    return models;
  }
  std::vector<int> in_use(AssetStore& store) { return models_in(store, true); }

  // What is in the folders that are empty when nobody works.
  std::vector<std::string> leftovers() {
    std::vector<std::string> found;
    for (const std::string folder : {"staging", "trash", "private", "locks"}) {
      const auto entries = files_.list(at("cache/coreml-delegate-1/" + folder));
      if (!entries.ok()) continue;
      for (const DirectoryEntry& entry : *entries) {
        if (entry.name != "sweep") found.push_back(folder + "/" + entry.name);
      }
    }
    return found;
  }

  void flip_byte(const std::string& path, std::streamoff offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(offset);
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(offset);
    file.put(byte);
  }

  // An entry as the store would have made it, but for the checksums: its file is sparse.
  void plant_sparse_entry(int model, uint64_t bytes) {
    Manifest manifest{
        .key = test_key(model), .nonce = make_nonce(), .created_ms = model, .files = {}};
    manifest.files.push_back(
        {"weights.bin", bytes, std::vector<uint64_t>((bytes + kChunkBytes - 1) / kChunkBytes)});
    ASSERT_TRUE(files_.make_directory(entry_folder(model)).ok());
    ASSERT_TRUE(files_.make_directory(content_folder(model)).ok());
    const std::string path = join_path(content_folder(model), "weights.bin");
    std::ofstream(path).flush();
    ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(bytes)), 0);
    std::ofstream(join_path(entry_folder(model), "manifest.json")) << to_text(manifest);
    std::ofstream(join_path(entry_folder(model), "lease")).flush();
  }

  FileSystem& files_ = real_file_system();
  const std::string root_;
  AssetStoreOptions options_;
  std::atomic<int> compilations_ = 0;
};

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_TESTING_STORE_H_
