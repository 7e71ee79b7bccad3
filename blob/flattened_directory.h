#ifndef COREML_DELEGATE_BLOB_FLATTENED_DIRECTORY_H_
#define COREML_DELEGATE_BLOB_FLATTENED_DIRECTORY_H_

// The stock exporter's flattened directory: file data, then a JSON index stored byte-reversed, then
// NUL bytes. docs/blob_format.md has the format and everything that is refused.

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/byte_sink.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {

// The tree, its files borrowed from `bytes`. corrupt_data names the rule that is broken and the
// node; unsupported for bytes that do not end as a flattened directory does. `root_name`, where it
// is not null, becomes the root's name as it is in the index, unchecked; empty where there is none.
Result<inmemoryfs::InMemoryFileSystem> read_flattened_directory(const Bytes& bytes,
                                                                std::string* root_name = nullptr);

// Writes a tree so that the stock runtime and extension module can read it. The same tree gives the
// same bytes.
//
// Thread rule: const members may be called from several threads at once.
class FlattenedDirectoryWriter {
 public:
  // Shares the owners of the files' bytes. `root_name` is what the stock extension module's
  // unflatten calls the folder. invalid_argument for more nodes than a reader takes.
  static Result<FlattenedDirectoryWriter> create(const inmemoryfs::InMemoryFileSystem& tree,
                                                 const std::string& root_name = "root");

  uint64_t size() const { return data_size_ + index_.size(); }
  // Sends exactly size() bytes.
  Status write(ByteSink& sink) const;

 private:
  struct Region {
    uint64_t offset;
    Bytes content;
  };

  FlattenedDirectoryWriter() = default;

  std::vector<Region> regions_;  // By offset.
  uint64_t data_size_ = 0;
  std::string index_;  // Reversed.
};

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_FLATTENED_DIRECTORY_H_
