#ifndef COREML_DELEGATE_INMEMORYFS_INMEMORY_FILE_SYSTEM_H_
#define COREML_DELEGATE_INMEMORYFS_INMEMORY_FILE_SYSTEM_H_

// An in-memory tree of directories and files whose contents are borrowed: adding, opening, looking
// up and renaming never copy a byte of a file. It is what a blob is opened as and what an engine is
// given a model package as.
//
//   InMemoryFileSystem tree;
//   // Makes the directories, too.
//   COREML_DELEGATE_RETURN_IF_ERROR(tree.add_file("Data/com.apple.CoreML/model.mlmodel", bytes));
//   // A not_found names the path.
//   Result<Bytes> spec = tree.read("Data/com.apple.CoreML/model.mlmodel");
//
// Paths are relative, `/`-separated, UTF-8: no empty component, no `.` or `..`, no NUL, no leading
// or trailing `/`; the empty path is the root. A component is at most 255 bytes and a path at most
// kMaxPathDepth components. Names are case-sensitive.
//
// A tree that was moved from may only be assigned to or destroyed.
//
// Thread rule: const members may be called from several threads at once while no other member runs.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace coreml_delegate::inmemoryfs {

inline constexpr size_t kMaxPathDepth = 64;
inline constexpr size_t kMaxComponentBytes = 255;

// Success if `path` keeps the rules above (the root excluded); else invalid_argument that names the
// rule it breaks.
Status check_path(std::string_view path);

enum class NodeKind { kFile, kDirectory };

struct Metadata {
  NodeKind kind = NodeKind::kFile;
  uint64_t size = 0;  // A file's bytes; 0 for a directory.
};

class InMemoryFileSystem {
 public:
  InMemoryFileSystem();
  ~InMemoryFileSystem();
  InMemoryFileSystem(InMemoryFileSystem&&) noexcept;
  InMemoryFileSystem& operator=(InMemoryFileSystem&&) noexcept;

  bool exists(std::string_view path) const;
  Result<Metadata> metadata(std::string_view path) const;
  // The file's content, sharing its owner. kInvalidArgument for a directory.
  Result<Bytes> read(std::string_view path) const;
  // Names of the entries of a directory, sorted bytewise.
  Result<std::vector<std::string>> list(std::string_view path) const;

  // Calls `visit` for every node below `path` in depth-first order, directories before their
  // entries, entries sorted bytewise; the path given to it is relative to the root. Stops at the
  // first failure and returns it.
  using Visitor =
      std::function<Status(std::string_view path, const Metadata& metadata, const Bytes& content)>;
  Status walk(std::string_view path, const Visitor& visit) const;

  // Makes missing parents. kAlreadyExists when a node of that name is there or a parent is a file.
  Status add_file(std::string_view path, Bytes content);
  Status add_directory(std::string_view path);  // One that is there already is fine.
  // Removes a file, or a directory with all below it.
  Status remove(std::string_view path);
  // Moves a node; the parents of `to` must be there, `to` must not, and `to` must not lie below
  // `from`.
  Status rename(std::string_view from, std::string_view to);

  // A tree of its own that shares the contents below the directory `path`.
  Result<InMemoryFileSystem> subtree(std::string_view path) const;

  // Number of files and their total bytes.
  size_t file_count() const;
  uint64_t total_bytes() const;

 private:
  struct Node;

  Result<const Node*> look_up(std::string_view path) const;
  // Takes a node that is there out of its parent.
  std::unique_ptr<Node> detach(std::string_view path);

  std::unique_ptr<Node> root_;  // Null only after it was moved from.
};

}  // namespace coreml_delegate::inmemoryfs

#endif  // COREML_DELEGATE_INMEMORYFS_INMEMORY_FILE_SYSTEM_H_
