#include "runtime/runner/output_file.h"

#include <filesystem>
#include <system_error>

namespace coreml_delegate::runner {
namespace {

// Whether both names lead to one file, which may have several: links, and names in the file system.
bool is_same(const std::string& one, const std::string& other) {
  std::error_code error;
  return std::filesystem::equivalent(one, other, error) && !error;
}

}  // namespace

Status check_output(const std::string& path, const std::vector<std::string>& read) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::is_directory(status)) {
    return invalid_argument("the path is a folder: name a file to write", path);
  }
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return invalid_argument("the path is not a regular file: name another file to write", path);
  }
  for (const std::string& source : read) {
    if (!source.empty() && is_same(path, source)) {
      return invalid_argument("the run reads this file: name another file to write", path);
    }
  }
  return {};
}

Result<std::unique_ptr<AtomicFile>> create_output(FileSystem& files, const std::string& path,
                                                  const std::vector<std::string>& read) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_output(path, read));
  std::error_code error;
  std::string target = path;
  if (std::filesystem::is_symlink(std::filesystem::symlink_status(path, error))) {
    target = std::filesystem::weakly_canonical(path, error).string();
    if (error)
      return invalid_argument("the symbolic link leads nowhere: name another file to write", path);
  }
  Result<std::unique_ptr<AtomicFile>> file = AtomicFile::create(files, target);
  if (!file.ok()) return file.status().annotate("a result could not be written", path);
  return file;
}

}  // namespace coreml_delegate::runner
