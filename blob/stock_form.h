#ifndef COREML_DELEGATE_BLOB_STOCK_FORM_H_
#define COREML_DELEGATE_BLOB_STOCK_FORM_H_

// What makes a blob of ours readable for ExecuTorch's stock Core ML runtime as well: metadata.json
// and the index of a flattened directory, at the end of the payload. The index names the blob's own
// files where they are, so that no file is there twice. docs/blob_format.md has the rules.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/blob.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {

// Whether the stock runtime can carry what the functions need: it starts every state from zero.
// `code` is that of the failure.
Status check_stock_can_carry(const std::vector<Function>& functions, StatusCode code);

// What is at which offset from the start of a blob that is being written.
struct StockLayout {
  std::function<uint64_t(const std::string& path)> file_offset;  // Of a file that is not empty.
  uint64_t debug_map_offset = 0;                                 // Where there is a debug map.
  uint64_t end = 0;  // Of the files: where the bytes returned will be.
};

// The bytes behind the files. Of the blob, kind, content identifier, functions and debug map
// matter. The same blob, laid out alike, gives the same bytes.
Result<std::string> encode_stock_form(const Blob& blob, const inmemoryfs::InMemoryFileSystem& files,
                                      const StockLayout& layout);

// Whether the last `size` bytes, which are behind all files, are what the stock runtime needs to
// see the same files, functions and debug map as `blob`, which was read from the rest. corrupt_data
// says where the two disagree.
Status check_stock_form(const Bytes& bytes, uint64_t size, const Blob& blob);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_STOCK_FORM_H_
