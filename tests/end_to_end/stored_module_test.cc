// Compiled models on disk, from process to process, with the portable engine: the first process
// compiles, every later one loads what it left. Each process is a child: OpenVINO's threads do not
// survive a fork, so the parent loads nothing.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/backend/backend_options_map.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/include/coreml_backend/coreml_backend_options.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_cache.h"

namespace {

using coreml_delegate::CacheStats;
using executorch::backends::coreml::LoadOptionsBuilder;
using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::LoadBackendOptionsMap;

class StoredModuleTest : public ::testing::TestWithParam<const char*> {
 protected:
  StoredModuleTest()
      : folder_(*coreml_delegate::real_file_system().make_unique_directory(::testing::TempDir(),
                                                                           "stored_module.")) {}
  ~StoredModuleTest() override {
    EXPECT_TRUE(coreml_delegate::real_file_system().remove_tree(folder_).ok());
  }

  // In a process of its own: loads the program and computes; what the cache then says.
  void run(const std::function<bool(const CacheStats&)>& is_expected, bool warm_up = false) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(load_and_run(is_expected, warm_up));
    ASSERT_GT(child, 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }

  int load_and_run(const std::function<bool(const CacheStats&)>& is_expected, bool warm_up) {
    LoadOptionsBuilder options;
    options.setCacheDirectory(folder_.c_str()).setWarmUp(warm_up);
    LoadBackendOptionsMap map;
    if (map.set_options(options) != Error::Ok) return 1;
    Module module(std::string("tests/end_to_end/testdata/") + GetParam());
    if (module.load(map) != Error::Ok || module.load_method("forward") != Error::Ok) {
      std::fprintf(stderr, "%s\n", coreml_delegate::last_error().c_str());
      return 2;
    }
    const bool is_stock = std::string(GetParam()) == "stock_sin.pte";
    std::vector<float> x = {0.5f, -1, 0, 0.25f, 1, 3};
    const auto outputs = is_stock ? module.forward(from_blob(x.data(), {2, 3}))
                                  : module.forward(from_blob(x.data(), {1}));
    if (!outputs.ok()) {
      std::fprintf(stderr, "%s\n", coreml_delegate::last_error().c_str());
      return 3;
    }
    const float y = outputs->at(0).toTensor().const_data_ptr<float>()[0];
    if (std::abs(y - std::sin(0.5f)) > 2e-3f) return 4;
    const auto stats = coreml_delegate::cache_stats(folder_);
    if (!stats.ok()) return 5;
    if (!is_expected(*stats)) {
      std::fprintf(stderr, "hits %d misses %d compilations %d uncached %d damaged %d entries %d\n",
                   static_cast<int>(stats->hits), static_cast<int>(stats->misses),
                   static_cast<int>(stats->compilations), static_cast<int>(stats->uncached),
                   static_cast<int>(stats->damaged), static_cast<int>(stats->entries));
      return 6;
    }
    // The method has its entry open.
    const auto purged = coreml_delegate::cache_purge(folder_);
    return purged.ok() && purged->in_use == 1 && purged->entries == 0 ? 0 : 7;
  }

  std::string graph_file() const {
    const std::string entries = folder_ + "/coreml-delegate-1/entries";
    const auto list = coreml_delegate::real_file_system().list(entries);
    EXPECT_TRUE(list.ok() && list->size() == 1);
    return entries + "/" + list->front().name + "/content/graph.ov";
  }

  const std::string folder_;
};

bool compiled(const CacheStats& stats) {
  return stats.compilations == 1 && stats.misses == 1 && stats.hits == 0 && stats.entries == 1;
}
bool hit(const CacheStats& stats) {
  return stats.compilations == 0 && stats.misses == 0 && stats.hits == 1 && stats.entries == 1;
}

TEST_P(StoredModuleTest, ALaterProcessDoesNotCompile) {
  run(compiled);
  run(hit);
  run(hit, /*warm_up=*/true);
}

TEST_P(StoredModuleTest, ADamagedEntryIsCompiledAgain) {
  run(compiled);
  {
    std::fstream file(graph_file(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(200);
    file.put('\x7f');
    file.put('\x55');
  }
  run([](const CacheStats& stats) { return stats.damaged == 1 && stats.compilations == 1; });
  run(hit);
}

INSTANTIATE_TEST_SUITE_P(, StoredModuleTest, ::testing::Values("sin_float32.pte", "stock_sin.pte"),
                         [](const auto& info) {
                           return std::string(info.param) == "stock_sin.pte" ? "Stock" : "Ours";
                         });

}  // namespace
