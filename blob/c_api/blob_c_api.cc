#include "blob/c_api/blob_c_api.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "blob/byte_sink.h"
#include "blob/coreml_blob_reader.h"
#include "blob/flattened_directory.h"
#include "inmemoryfs/disk.h"
#include "inmemoryfs/inmemory_file_system.h"

struct coreml_blob_plan {
  coreml_delegate::blob::FlattenedDirectoryWriter writer;
};

namespace coreml_delegate::blob {
namespace {

char* new_text(std::string_view text) {
  char* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return nullptr;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

// Runs `work`; null, or the failure.
template <typename Work>
char* answer(Work work) {
  try {
    const Status status = work();
    return status.ok() ? nullptr : new_text(status.to_string());
  } catch (const std::exception&) {
    // Nothing else is thrown here.
    return new_text("resource_exhausted: out of memory");
  }
}

Result<FlattenedDirectoryWriter> plan(const std::filesystem::path& path) {
  // The last component that is a name: "a/b/" and "a/b/." are b.
  const std::filesystem::path normal = path.lexically_normal();
  std::string name = normal.filename().string();
  if (name.empty()) name = normal.parent_path().filename().string();
  if (name.empty() || name == "." || name == "..") name = "root";
  COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem tree,
                                   inmemoryfs::read_folder(real_file_system(), path.string()));
  return FlattenedDirectoryWriter::create(tree, name);
}

Status write_tree(const Bytes& bytes, const std::string& path) {
  // What our own reader refuses is not written: the tables of a blob for both runtimes may
  // disagree.
  if (has_coreml_blob_identifier(bytes.span())) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const auto content,
                                     read_coreml_blob(bytes, /*named_data=*/nullptr));
    const auto* blob = std::get_if<Blob>(&content);
    if (blob == nullptr || !blob->for_stock_runtime) {
      return unsupported(
          "the bytes are for this project's runtime alone and hold no flattened directory; `coreml "
          "extract` writes the model that they lead to");
    }
  }
  FlattenedIndex index;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem tree,
                                   read_flattened_directory(bytes, &index));
  const std::string& name = index.root_name;
  Status allowed = inmemoryfs::check_path(name);
  if (allowed.ok() && name.find('/') != std::string::npos) {
    allowed = invalid_argument("the name contains a slash", name);
  }
  if (!allowed.ok()) {
    return allowed.annotate_as(StatusCode::kCorruptData, "the root's name is not allowed");
  }
  // Not made: the stock module wants it there too.
  COREML_DELEGATE_ASSIGN_OR_RETURN(const FileInfo info, real_file_system().info(path));
  if (info.kind == FileKind::kFile) return invalid_argument("is not a folder", path);
  return inmemoryfs::write_folder(real_file_system(), tree, join_path(path, name));
}

}  // namespace
}  // namespace coreml_delegate::blob

namespace blob = coreml_delegate::blob;
using coreml_delegate::Status;

extern "C" {

void coreml_blob_free(char* text) { std::free(text); }

char* coreml_blob_plan_flat(const char* path, coreml_blob_plan** plan, uint64_t* size) {
  return blob::answer([&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(blob::FlattenedDirectoryWriter writer, blob::plan(path));
    *size = writer.size();
    *plan = new coreml_blob_plan{std::move(writer)};
    return {};
  });
}

char* coreml_blob_write_flat(const coreml_blob_plan* plan, char* data, uint64_t size) {
  return blob::answer([&] {
    blob::BufferSink sink({reinterpret_cast<std::byte*>(data), static_cast<size_t>(size)});
    return plan->writer.write(sink);
  });
}

void coreml_blob_free_plan(coreml_blob_plan* plan) { delete plan; }

char* coreml_blob_unflatten(const char* data, uint64_t size, const char* path) {
  return blob::answer([&] {
    // The caller keeps them alive and unchanged.
    return blob::write_tree(coreml_delegate::Bytes(coreml_delegate::as_bytes(
                                std::string_view(data, static_cast<size_t>(size)))),
                            path);
  });
}

char* coreml_blob_verify_table(const char* data, uint64_t size) {
  return blob::answer([&] {
    return blob::verify_coreml_blob_table(coreml_delegate::Bytes(
        coreml_delegate::as_bytes(std::string_view(data, static_cast<size_t>(size)))));
  });
}

}  // extern "C"
