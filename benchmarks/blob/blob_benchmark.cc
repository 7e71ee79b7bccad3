// What opening and writing a blob costs, for 1 GiB of weights (--weights=BYTES for another size).
// In a temporary folder; the file of weights is sparse, so it takes no room on the disk and reading
// it costs page faults only.
//
//   open_coreml_blob          opening, checksums not asked for
//   open_coreml_blob_64_MiB   the same with less: the time must not depend on it
//   open_flattened_directory  the stock format, 1 GiB
//   verify_content            every checksum
//   write_coreml_blob         hashing every file and sending the blob to a sink that drops it
//
// memory_MiB is by how much the process's resident memory rose at most while the benchmark ran
// (Linux; the counter is reset before it), and faults how many pages one iteration touched for the
// first time.

#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "blob/blob.h"
#include "blob/byte_sink.h"
#include "blob/coreml_blob_writer.h"
#include "blob/flattened_directory.h"
#include "blob/testing_blob.h"
#include "inmemoryfs/disk.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {
namespace {

uint64_t g_weight_bytes = uint64_t{1} << 30;

void require(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  std::exit(1);
}

template <typename T>
T require(Result<T> result) {
  require(result.status());
  return *std::move(result);
}

// A line of /proc/self/status in KiB; 0 where there is none.
uint64_t status_kib(std::string_view name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10);
  }
  return 0;
}

// Measures from its construction until report().
class Memory {
 public:
  Memory() {
    std::ofstream("/proc/self/clear_refs") << "5";  // Resets VmHWM.
    resident_ = status_kib("VmRSS");
    faults_ = faults();
  }
  void report(benchmark::State& state) const {
    const uint64_t peak = status_kib("VmHWM");
    state.counters["memory_MiB"] = static_cast<double>(peak - std::min(peak, resident_)) / 1024;
    state.counters["faults"] = benchmark::Counter(static_cast<double>(faults() - faults_),
                                                  benchmark::Counter::kAvgIterations);
  }

 private:
  static long faults() {
    rusage usage;
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
  }
  uint64_t resident_ = 0;
  long faults_ = 0;
};

class Workspace {
 public:
  Workspace()
      : root_(require(
            real_file_system().make_unique_directory(temporary_directory(), "blob_benchmark."))) {}
  ~Workspace() { require(real_file_system().remove_tree(root_)); }
  std::string at(const std::string& name) const { return join_path(root_, name); }

  // A package with that many bytes of weights.
  inmemoryfs::InMemoryFileSystem package(uint64_t weight_bytes) const {
    const std::string weights = at("weight.bin");
    if (!real_file_system().info(weights).ok()) std::ofstream(weights).close();
    if (::truncate(weights.c_str(), static_cast<off_t>(weight_bytes)) != 0) std::exit(1);
    inmemoryfs::InMemoryFileSystem tree = owning_tree(golden_files());
    require(tree.remove(kGoldenWeightPath));
    require(tree.add_file(kGoldenWeightPath, require(real_file_system().map(weights))));
    return tree;
  }

 private:
  const std::string root_;
};

// Sparse: what is written as zeros is skipped.
class SparseFileSink final : public ByteSink {
 public:
  explicit SparseFileSink(const std::string& path)
      : path_(path), file_(std::fopen(path.c_str(), "wb")) {
    if (file_ == nullptr) std::exit(1);
  }
  ~SparseFileSink() override {
    std::fclose(file_);
    if (::truncate(path_.c_str(), static_cast<off_t>(size_)) != 0) std::exit(1);
  }
  Status append(ByteSpan bytes) override {
    size_ += bytes.size();
    const bool zeros = bytes.size() > 4096 && bytes[0] == std::byte{0} &&
                       std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
    if (zeros) {
      std::fseek(file_, static_cast<long>(bytes.size()), SEEK_CUR);
    } else if (!bytes.empty() && std::fwrite(bytes.data(), bytes.size(), 1, file_) != 1) {
      return io_error("cannot write", path_);
    }
    return {};
  }

 private:
  const std::string path_;
  std::FILE* const file_;
  uint64_t size_ = 0;
};

// The process's memory stays as it is: what is written goes nowhere.
class NullSink final : public ByteSink {
 public:
  Status append(ByteSpan bytes) override {
    benchmark::DoNotOptimize(bytes.data());
    return {};
  }
};

Bytes blob_file(const Workspace& workspace, uint64_t weight_bytes) {
  const inmemoryfs::InMemoryFileSystem tree = workspace.package(weight_bytes);
  const CoreMLBlobWriter writer = require(CoreMLBlobWriter::create(golden_description(), tree));
  {
    SparseFileSink sink(workspace.at("blob"));
    require(writer.write(sink));
  }
  return require(real_file_system().map(workspace.at("blob")));
}

Bytes stock_file(const Workspace& workspace) {
  inmemoryfs::InMemoryFileSystem tree;
  require(workspace.package(g_weight_bytes)
              .walk("", [&](std::string_view path, const inmemoryfs::Metadata& metadata,
                            const Bytes& content) {
                return metadata.kind == inmemoryfs::NodeKind::kDirectory
                           ? Status()
                           : tree.add_file("model.mlpackage/" + std::string(path), content);
              }));
  require(tree.add_file("metadata.json", Bytes(as_bytes("{\"inputNames\":[\"x\"]}"))));
  const FlattenedDirectoryWriter writer = require(FlattenedDirectoryWriter::create(tree));
  {
    SparseFileSink sink(workspace.at("stock"));
    require(writer.write(sink));
  }
  return require(real_file_system().map(workspace.at("stock")));
}

void open(benchmark::State& state, const Bytes& bytes) {
  const Memory memory;
  for (auto iteration : state) {
    const Result<DelegateCall> call = open_delegate_call(bytes, {});
    if (!call.ok()) state.SkipWithError(call.status().to_string().c_str());
    benchmark::DoNotOptimize(call);
  }
  memory.report(state);
}

void open_coreml_blob(benchmark::State& state) {
  const Workspace workspace;
  open(state, blob_file(workspace, g_weight_bytes));
}
BENCHMARK(open_coreml_blob)->Unit(benchmark::kMillisecond);

void open_coreml_blob_64_MiB(benchmark::State& state) {
  const Workspace workspace;
  open(state, blob_file(workspace, uint64_t{64} << 20));
}
BENCHMARK(open_coreml_blob_64_MiB)->Unit(benchmark::kMillisecond);

void open_flattened_directory(benchmark::State& state) {
  const Workspace workspace;
  open(state, stock_file(workspace));
}
BENCHMARK(open_flattened_directory)->Unit(benchmark::kMillisecond);

void verify_content(benchmark::State& state) {
  const Workspace workspace;
  const Bytes bytes = blob_file(workspace, g_weight_bytes);
  const Memory memory;
  for (auto iteration : state) {
    OpenOptions options;
    options.verify_checksums = true;
    require(open_delegate_call(bytes, options).status());
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes.size()) *
                          static_cast<int64_t>(state.iterations()));
  memory.report(state);
}
BENCHMARK(verify_content)->Unit(benchmark::kMillisecond);

void write_coreml_blob(benchmark::State& state) {
  const Workspace workspace;
  const inmemoryfs::InMemoryFileSystem tree = workspace.package(g_weight_bytes);
  const Memory memory;
  for (auto iteration : state) {
    const CoreMLBlobWriter writer = require(CoreMLBlobWriter::create(golden_description(), tree));
    NullSink sink;
    require(writer.write(sink));
  }
  state.SetBytesProcessed(static_cast<int64_t>(g_weight_bytes) *
                          static_cast<int64_t>(state.iterations()));
  memory.report(state);
}
BENCHMARK(write_coreml_blob)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coreml_delegate::blob

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  constexpr std::string_view kWeights = "--weights=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with(kWeights)) {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      return 2;
    }
    coreml_delegate::blob::g_weight_bytes = std::strtoull(argv[i] + kWeights.size(), nullptr, 10);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
