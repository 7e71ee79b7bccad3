// The context of each header's first example (header_examples.py): what it refers to without making it itself. Each has a namespace.

#include <executorch/runtime/backend/backend_options_map.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "inmemoryfs/disk.h"
#include "inmemoryfs/inmemory_file_system.h"

extern const int header_example_count;

namespace coreml_delegate {

//- kvstore/raw_store.h: the tables of a database

namespace atomic_file {
Status example(FileSystem& files, const std::string& path, ByteSpan header, ByteSpan content) {
//@ base/atomic_file.h
}
}  // namespace atomic_file

namespace cpu_features_h {
float sum_avx2(const std::vector<float>& values);
float sum(const std::vector<float>& values);
float example(const std::vector<float>& values) {
//@ base/cpu_features.h
  return sum(values);
}
}  // namespace cpu_features_h

namespace logging {
void example(const std::string& path) {
//@ base/logging.h
}
}  // namespace logging

namespace mutex {
//@ base/mutex.h
}  // namespace mutex

namespace status {
struct Package {
  static Result<Package> open(const inmemoryfs::InMemoryFileSystem& tree);
};
void use(const Package& package);
Status example(const inmemoryfs::InMemoryFileSystem& tree, const std::string& path) {
//@ base/status.h
  return Status();
}
}  // namespace status

namespace testing_failing_files {
using inmemoryfs::write_folder;
void example(const inmemoryfs::InMemoryFileSystem& tree) {
//@ base/testing_failing_files.h
}
}  // namespace testing_failing_files

namespace testing_memory_files {
void publish(FileSystem& files);
void open_and_check(FileSystem& files);
void example(uint64_t seed) {
//@ base/testing_memory_files.h
}
}  // namespace testing_memory_files

namespace blob {
Status example(const BlobDescription& description, const inmemoryfs::InMemoryFileSystem& tree,
               const std::unique_ptr<WritableFile>& file) {
//@ blob/coreml_blob_writer.h
  return Status();
}
}  // namespace blob

namespace inmemoryfs {
Status example(const Bytes& bytes) {
//@ inmemoryfs/inmemory_file_system.h
  return spec.status();
}
}  // namespace inmemoryfs

namespace kvstore {
struct Point {
  double x, y;
};
//@ kvstore/codec.h

using Entry = Point;
Status example_of_a_database(const Entry& first, const Entry& second) {
//@ kvstore/database.h
  return Status();
}

void use(const std::string& key, int64_t value);
Status example_of_a_store(const std::unique_ptr<Database>& database) {
//@ kvstore/store.h
  return hits ? Status() : not_found("not there");
}
}  // namespace kvstore

namespace assets {
struct Model {};
Status compile(const Model& model, const std::string& folder);
void load(const std::string& folder);
void load_without_a_store(const Model& model);
Status example(const std::string& cache_dir, const AssetKey& key, const Model& model) {
//@ runtime/assets/asset_store.h
  return Status();
}
}  // namespace assets

namespace argument_binding {
Status example(ArgumentBinding& binding, engine::Model& model,
               executorch::runtime::Span<executorch::runtime::EValue*> args,
               const engine::ExecuteOptions& options) {
//@ runtime/delegate/argument_binding.h
  return status;
}
}  // namespace argument_binding

namespace edge {
using executorch::runtime::Error;
struct Handle {};
Error let_go(Handle* handle);
struct Backend {
  Error destroy(Handle* handle) const;
};
//@ runtime/delegate/edge.h
}  // namespace edge

namespace option_table {
//@ runtime/delegate/option_table.h
}  // namespace option_table

namespace engine {
namespace compile_request {
Status compile_for(const LoadOptions& options);
//@ runtime/engine/compile_request.h
}  // namespace compile_request

Status example_of_an_engine(const ModelSource& source, std::span<const ConstTensorView> inputs,
                            std::span<TensorView> outputs) {
//@ runtime/engine/engine.h
  return Status();
}

Status example_of_a_helper(Engine* engine, const ModelSource& source, const LoadOptions& options) {
//@ runtime/engine/helper/compile_helper.h
  return Status();
}

Status example_of_a_fake() {
//@ runtime/engine/fake/fake_engine.h
  return Status();
}

namespace call_checks {
//@ runtime/engine/call_checks.h
}  // namespace call_checks

std::unique_ptr<Engine> make_portable_engine();
//@ runtime/engine/cts/engine_cts.h
}  // namespace engine

namespace coreml_delegate_h {
void example() {
//@ runtime/include/coreml_delegate.h
}
}  // namespace coreml_delegate_h

namespace coreml_delegate_c {
void example() {
//@ runtime/include/coreml_delegate_c.h
}
}  // namespace coreml_delegate_c

namespace coreml_delegate_cache {
void example(uint64_t limit) {
//@ runtime/include/coreml_delegate_cache.h
}
}  // namespace coreml_delegate_cache

namespace coreml_engine_c {
void example() {
//@ runtime/include/coreml_engine_c.h
}
}  // namespace coreml_engine_c

namespace delegate {
void example() {
//@ runtime/include/coreml_backend/delegate.h
}
}  // namespace delegate

namespace coreml_backend_options {
using executorch::runtime::LoadBackendOptionsMap;
struct Module {
  void load(const LoadBackendOptionsMap& map);
};
void example(Module& module) {
//@ runtime/include/coreml_backend/coreml_backend_options.h
}
}  // namespace coreml_backend_options

}  // namespace coreml_delegate
