#ifndef COREML_DELEGATE_BLOB_TESTING_BLOB_H_
#define COREML_DELEGATE_BLOB_TESTING_BLOB_H_

// Blobs for tests: the content of the goldens, and an encoder that checks nothing.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "blob/blob.h"
#include "blob/coreml_blob_writer.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {

// What the goldens hold. Never changed: they are version 1 for ever.
inline constexpr char kGoldenWeightPath[] = "Data/com.apple.CoreML/weights/weight.bin";
inline constexpr char kGoldenWeightKey[] = "coreml_weight_0";
inline constexpr char kGoldenBlobKey[] = "coreml_blob_0";
std::map<std::string, std::string> golden_files();
BlobDescription golden_description();
// The same for both runtimes, of version 1.1: states start from zero.
inline constexpr char kBothBlobKey[] = "coreml_blob_both";
BlobDescription both_description();

// What the writer makes of golden_files() and a description; empty where it refuses.
std::string written(const BlobDescription& description);

// A tree that owns its contents.
inmemoryfs::InMemoryFileSystem owning_tree(const std::map<std::string, std::string>& files);
// Bytes that own `text`.
Bytes owning_bytes(std::string text);

// Everything a table can say, right or wrong.
struct RawFile {
  std::string path;
  uint64_t size = 0;
  std::vector<uint8_t> checksum;
  uint64_t offset = 0;
  std::optional<std::string> named_data_key;
};

struct RawBlob {
  uint16_t major_version = 1;
  uint16_t minor_version = 0;
  uint8_t kind = 0;
  std::optional<std::vector<uint8_t>> content_id;  // Else the right one for what is said.
  int32_t specification_version = 0;
  uint32_t alignment = 64;
  std::optional<uint64_t> payload_size;  // Else the payload's.
  std::vector<RawFile> files;
  std::vector<Function> functions;
  uint64_t stock_bytes = 0;
  std::string payload;
  std::string behind;  // After the payload.

  std::string encode() const;
};

// What the writer would write for golden_files() and golden_description(), to be changed.
RawBlob raw_golden();

struct RawReference {
  uint16_t major_version = 1;
  std::string named_data_key = kGoldenBlobKey;
  std::string function_name = "main";

  std::string encode() const;
};

// A size-prefixed Root whose content has a type that no schema has.
std::string encode_unknown_content(uint8_t type);

// A flattened directory: data, then `json` reversed, then NULs.
std::string flattened(const std::string& data, const std::string& json, size_t nuls = 3);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_TESTING_BLOB_H_
