// Any bytes may come in a .pte: opening, walking and verifying them must end in a value or a
// Status, within the bytes given.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/blob.h"
#include "blob/byte_sink.h"
#include "blob/coreml_blob_reader.h"
#include "blob/corrupt_cases.h"
#include "blob/flattened_directory.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {
namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

// Paths with a checksum of what is in each file: reads every byte.
std::map<std::string, uint64_t> read_all(const inmemoryfs::InMemoryFileSystem& tree) {
  std::map<std::string, uint64_t> seen;
  const Status status = tree.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& metadata, const Bytes& content) {
        check(inmemoryfs::check_path(path).ok());
        check(metadata.size == content.size());
        uint64_t sum = metadata.kind == inmemoryfs::NodeKind::kFile ? 1 : 0;
        for (const std::byte byte : content.span()) sum = sum * 31 + static_cast<uint8_t>(byte);
        check(seen.emplace(path, sum).second);
        return Status();
      });
  check(status.ok());
  return seen;
}

void use(const Blob& blob, const Bytes& bytes) {
  const std::map<std::string, uint64_t> files = read_all(blob.files);
  if (blob.for_stock_runtime && has_coreml_blob_identifier(bytes.span())) {
    // Both runtimes see the same.
    const Result<Blob> stock = open_flattened_directory(bytes);
    check(stock.ok());
    check(stock->kind == blob.kind);
    check(read_all(stock->files) == files);
    check(stock->functions.size() == blob.functions.size());
  }
  check(!blob.functions.empty());
  for (const Function& function : blob.functions) check(blob.function(function.name).ok());
  (void)verify_content(blob).ok();
  (void)compute_content_id(blob).ok();
  // What was read can be written as a flattened directory, and that reads back the same.
  const Result<FlattenedDirectoryWriter> writer = FlattenedDirectoryWriter::create(blob.files);
  check(writer.ok());
  std::vector<std::byte> flat;
  VectorSink sink(flat);
  check(writer->write(sink).ok());
  check(flat.size() == writer->size());
  const Result<inmemoryfs::InMemoryFileSystem> again = read_flattened_directory(Bytes(flat));
  check(again.ok());
  check(read_all(*again) == files);
}

void run(const Bytes& bytes) {
  static const NamedDataLookup& named_data = *new NamedDataLookup(corrupt_case_named_data());
  OpenOptions options;
  options.named_data = named_data;
  if (const Result<DelegateCall> call = open_delegate_call(bytes, options); call.ok()) {
    check(call->function_name.empty() || call->blob.function(call->function_name).ok());
    use(call->blob, bytes);
  }
  // Without the identity, which no random change survives.
  auto content = read_coreml_blob(bytes, named_data, IdentityCheck::kSkip);
  if (content.ok() && std::holds_alternative<Blob>(*content)) use(std::get<Blob>(*content), bytes);
  // Without the model that a flattened directory must hold.
  const Result<inmemoryfs::InMemoryFileSystem> tree = read_flattened_directory(bytes);
  if (tree.ok()) (void)read_all(*tree);
}

}  // namespace
}  // namespace coreml_delegate::blob

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using coreml_delegate::Bytes;
  using coreml_delegate::ByteSpan;
  coreml_delegate::blob::run(Bytes(ByteSpan(reinterpret_cast<const std::byte*>(data), size)));
  return 0;
}
