// The extension module executorch.backends.apple.coreml.executorchcoreml: the two functions of the
// stock exporter's module, which turn a folder into the bytes that the stock runtime reads, and
// back.
//
// No failure is an exception: None or False, and the reason, whole, in the log
// "executorch.backends.apple.coreml".

#include <pybind11/pybind11.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <optional>
#include <string>
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

namespace py = pybind11;

namespace coreml_delegate::blob {
namespace {

void log_failure(const char* function, const Status& status) {
  py::module_::import("logging")
      .attr("getLogger")("executorch.backends.apple.coreml")
      .attr("error")("%s: %s", function, status.to_string());
}

Result<FlattenedDirectoryWriter> plan(const std::filesystem::path& path) {
  // The last component that is a name: "a/b/" and "a/b/." are b.
  const std::filesystem::path normal = path.lexically_normal();
  std::string name = normal.filename().string();
  if (name.empty()) name = normal.parent_path().filename().string();
  if (name.empty() || name == "." || name == "..") name = "root";
  ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem tree,
                   inmemoryfs::read_folder(real_file_system(), path.string()));
  return FlattenedDirectoryWriter::create(tree, name);
}

py::object flatten(const std::filesystem::path& path) {
  constexpr char kName[] = "flatten_directory_contents";
  Result<FlattenedDirectoryWriter> writer = [&] {
    const py::gil_scoped_release released;
    return plan(path);
  }();
  if (!writer.ok()) {
    log_failure(kName, writer.status());
    return py::none();
  }
  // Written in place: no copy of the bytes but the one that is returned. Nobody else has the object
  // yet.
  const auto object = py::reinterpret_steal<py::object>(
      PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(writer->size())));
  if (!object) throw py::error_already_set();  // MemoryError
  BufferSink sink({reinterpret_cast<std::byte*>(PyBytes_AS_STRING(object.ptr())),
                   static_cast<size_t>(writer->size())});
  const Status status = [&] {
    const py::gil_scoped_release released;
    return writer->write(sink);
  }();
  if (!status.ok()) {
    log_failure(kName, status);
    return py::none();
  }
  return object;
}

Status write_tree(const Bytes& bytes, const std::filesystem::path& path) {
  // What our own reader refuses is not written: the tables of a blob for both runtimes may
  // disagree.
  if (has_coreml_blob_identifier(bytes.span())) {
    ASSIGN_OR_RETURN(const auto content, read_coreml_blob(bytes, /*named_data=*/nullptr));
    const auto* blob = std::get_if<Blob>(&content);
    if (blob == nullptr || !blob->for_stock_runtime) {
      return unsupported(
          "the bytes are for this project's runtime alone and hold no flattened directory; `coreml "
          "extract` writes the model that they lead to");
    }
  }
  FlattenedIndex index;
  ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem tree,
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
  ASSIGN_OR_RETURN(const FileInfo info, real_file_system().info(path.string()));
  if (info.kind == FileKind::kFile) return invalid_argument("is not a folder", path.string());
  return inmemoryfs::write_folder(real_file_system(), tree, join_path(path.string(), name));
}

bool unflatten(const py::bytes& flattened, const std::filesystem::path& path) {
  // The caller's reference keeps the bytes alive and unchanged while the lock is released.
  const std::string_view view = flattened;
  const Status status = [&] {
    const py::gil_scoped_release released;
    return write_tree(Bytes(as_bytes(view)), path);
  }();
  if (status.ok()) return true;
  log_failure("unflatten_directory_contents", status);
  return false;
}

}  // namespace
}  // namespace coreml_delegate::blob

PYBIND11_MODULE(executorchcoreml, module) {
  module.doc() = "Folders as the bytes that the stock Core ML runtime of ExecuTorch reads.";
  // Positional only, as in the stock module.
  module.def("flatten_directory_contents", &coreml_delegate::blob::flatten,
             "The folder at a path, flattened to bytes; None, and an entry in the log, where that "
             "fails.\n\n"
             "Symbolic links, devices and names that are not UTF-8 are refused. The same content "
             "gives the same bytes.");
  module.def("unflatten_directory_contents", &coreml_delegate::blob::unflatten,
             "Writes flattened bytes as a new folder, named as the one they were made from, into "
             "the folder at a path.\n\n"
             "Returns whether it is there whole. Where not, nothing is left behind and the log has "
             "the reason. Nothing is "
             "replaced.");
}
