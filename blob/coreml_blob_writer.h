#ifndef COREML_DELEGATE_BLOB_COREML_BLOB_WRITER_H_
#define COREML_DELEGATE_BLOB_COREML_BLOB_WRITER_H_

// The writer of our own format. The same content gives the same bytes. Files are read twice (to
// hash, to write) and never copied: beside the caller's bytes there is only the table.
//
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const CoreMLBlobWriter writer,
//                                    CoreMLBlobWriter::create(description, tree));
//   FileSink sink(*file);
//   COREML_DELEGATE_RETURN_IF_ERROR(writer.write(sink));  // Writes writer.size() bytes.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/sha256.h"
#include "base/status.h"
#include "blob/blob.h"
#include "blob/byte_sink.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {

// What a blob says beside its files; the fields are those of Blob.
struct BlobDescription {
  Kind kind = Kind::kPackage;
  int32_t specification_version = 0;
  std::vector<Function> functions;
  std::string compute_units;
  std::string compute_precision;
  std::string deployment_target;
  std::string producer;
  std::vector<std::pair<std::string, std::string>> producer_versions;
  Bytes debug_map;
  uint32_t alignment = 64;  // A power of two, at most 65536.
  // Adds what ExecuTorch's stock Core ML runtime reads: see stock_form.h for what it cannot carry.
  bool for_stock_runtime = false;
};

// Thread rule: const members may be called from several threads at once.
class CoreMLBlobWriter {
 public:
  // Hashes every file and checks every rule of the format: invalid_argument names the one that is
  // broken. The files of `named_data_keys` (path to key) are left to the program's named data: the
  // caller stores their bytes under the key. Empty directories of the tree are left out. Shares the
  // owners of the files' bytes.
  static Result<CoreMLBlobWriter> create(
      const BlobDescription& description, const inmemoryfs::InMemoryFileSystem& files,
      const std::map<std::string, std::string>& named_data_keys = {});

  // Bytes of the whole blob.
  uint64_t size() const { return payload_start_ + payload_size(); }
  const Sha256Digest& content_id() const { return content_id_; }
  // Sorted by path.
  const std::vector<FileRecord>& file_records() const { return records_; }

  // Sends exactly size() bytes.
  Status write(ByteSink& sink) const;

 private:
  struct InlineFile {
    uint64_t offset;
    Bytes content;
  };

  CoreMLBlobWriter() = default;
  Status add_files(const inmemoryfs::InMemoryFileSystem& files,
                   const std::map<std::string, std::string>& named_data_keys, uint32_t alignment);
  Status build_table(const BlobDescription& description);
  Status add_stock_form(const BlobDescription& description,
                        const inmemoryfs::InMemoryFileSystem& files);
  // Where the bytes for the stock runtime start, from the payload's start.
  uint64_t stock_start() const;
  uint64_t payload_size() const;

  std::vector<FileRecord> records_;
  std::vector<uint64_t> offsets_;         // One for each record.
  std::vector<InlineFile> inline_files_;  // Those with bytes, by offset.
  std::vector<std::byte> table_;          // The size prefix and the FlatBuffer.
  Sha256Digest content_id_{};
  uint64_t payload_start_ = 0;
  uint64_t files_size_ = 0;  // Of the payload.
  uint32_t alignment_ = 0;
  std::string stock_form_;         // Behind the files; empty for a blob of this runtime alone.
  uint64_t debug_map_offset_ = 0;  // In the table; 0: there is none.
};

// The processed bytes of a delegate call that runs `function_name` of the blob under
// `named_data_key`.
Result<std::vector<std::byte>> encode_reference(const std::string& named_data_key,
                                                const std::string& function_name);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_COREML_BLOB_WRITER_H_
