#ifndef COREML_DELEGATE_RUNTIME_MODEL_PACKAGE_H_
#define COREML_DELEGATE_RUNTIME_MODEL_PACKAGE_H_

// Reading a Core ML model package (.mlpackage): Manifest.json, the model specification, the weight
// file. Nothing is executed, no weight is copied.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/model/program.h"

namespace coreml_delegate::model {

struct Limits {
  uint64_t max_specification_bytes = 1ull << 30;
  int max_block_depth = 64;
  uint64_t max_operations = 10'000'000;
};

// Thread rule: const members from several threads. Shares the owners of the bytes it was opened
// from.
class Package {
 public:
  // Opens the package whose root is the tree's root. Hostile input gets a Status: corrupt_data
  // (which file, which rule), unsupported (a model that is no ML Program), version_too_new.
  static Result<Package> open(const inmemoryfs::InMemoryFileSystem& files,
                              const Limits& limits = {});

  int32_t specification_version() const { return specification_version_; }
  const std::vector<std::string>& function_names() const { return function_names_; }
  const std::string& default_function() const { return default_function_; }
  // Parses and checks the function, anew at every call. The empty name is the default function;
  // not_found lists the names.
  Result<Function> function(const std::string& name) const;
  // Only its inputs, outputs and states: cheap.
  Result<Function> function_signature(const std::string& name) const;
  // metadata.userDefined of the specification, sorted.
  const std::map<std::string, std::string>& user_metadata() const { return user_metadata_; }

 private:
  Result<Function> read_function(const std::string& name, bool with_body) const;

  int32_t specification_version_ = 0;
  std::vector<std::string> function_names_;
  std::string default_function_;
  std::map<std::string, std::string> user_metadata_;
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_PACKAGE_H_
