#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_STAGED_FOLDER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_STAGED_FOLDER_H_

// Core ML takes models as folders: a model that is in memory is written to a temporary one.
//
// Thread rule: const members from several threads.

#include <memory>
#include <string>

#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::engine::coreml {

// A temporary folder that is removed with its last owner.
class StagedFolder {
 public:
  // An empty one.
  static Result<std::shared_ptr<StagedFolder>> make();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;
  ~StagedFolder();

  const std::string& path() const { return path_; }
  // The path of a new entry `name`, written from the tree.
  Result<std::string> write(const inmemoryfs::InMemoryFileSystem& files,
                            const std::string& name) const;

 private:
  explicit StagedFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_STAGED_FOLDER_H_
