#ifndef COREML_DELEGATE_BLOB_FLATTENED_DIRECTORY_H_
#define COREML_DELEGATE_BLOB_FLATTENED_DIRECTORY_H_

// The stock exporter's flattened directory: file data, then a JSON index stored byte-reversed, then
// NUL bytes. docs/blob_format.md has the format and everything that is refused.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/byte_sink.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {

// What an index says beside the tree.
struct FlattenedIndex {
  std::string root_name;  // As it is there, unchecked; empty where there is none.
  uint64_t start = 0;     // Where in the bytes the index starts.
};

// The tree, its files borrowed from `bytes`. corrupt_data names the rule that is broken and the
// node; unsupported for bytes that do not end as a flattened directory does. `index`, where it is
// not null, is filled in. The index must start at `index_from` or later.
Result<inmemoryfs::InMemoryFileSystem> read_flattened_directory(const Bytes& bytes,
                                                                FlattenedIndex* index = nullptr,
                                                                uint64_t index_from = 0);

// The offset from the start of the bytes at which a file that is not empty lies.
using FilePlacement = std::function<uint64_t(const std::string& path, uint64_t size)>;

// The index of `tree`, reversed: what follows the files' bytes. The same tree, placed alike, gives
// the same bytes. `root_name` is what the stock extension module's unflatten calls the folder.
// invalid_argument for more nodes than a reader takes.
Result<std::string> encode_flattened_index(const inmemoryfs::InMemoryFileSystem& tree,
                                           const std::string& root_name,
                                           const FilePlacement& place);

// Writes a tree so that the stock runtime and extension module can read it. The same tree gives the
// same bytes.
//
// Thread rule: const members may be called from several threads at once.
class FlattenedDirectoryWriter {
 public:
  // Shares the owners of the files' bytes. Fails as encode_flattened_index() does.
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
