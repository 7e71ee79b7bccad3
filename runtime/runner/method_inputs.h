#ifndef COREML_DELEGATE_RUNTIME_RUNNER_METHOD_INPUTS_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_METHOD_INPUTS_H_

// The arguments of a method, from files, numbers, or made up.
//
// Thread rule: one thread.

#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/executor/method_meta.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "runtime/runner/bundled_program.h"
#include "runtime/runner/command_line.h"

namespace coreml_delegate::runner {

class MethodInputs {
 public:
  // not_found or invalid_argument name the input and say what the method takes. A tensor from a
  // .npy has the file's shape, which ExecuTorch compares with the method's; raw elements and made
  // up ones have the shape of the export. `bundled`: the inputs of a test case, one for each of the
  // method's or none at all; a given one goes before it.
  static Result<MethodInputs> create(const executorch::runtime::MethodMeta& method,
                                     const CommandLine& line, const FileSystem& files,
                                     const std::vector<BundledValue>& bundled = {});

  // Borrow this object's memory.
  const std::vector<executorch::runtime::EValue>& values() const { return values_; }
  // "float32[1, 3]", for people.
  const std::vector<std::string>& descriptions() const { return descriptions_; }
  size_t made_up() const { return made_up_; }

 private:
  Status add_tensor(const executorch::runtime::TensorInfo& info, const std::string& what,
                    const GivenInput* given, const BundledValue* bundled, const CommandLine& line,
                    const FileSystem& files);
  Status add_bundled_scalar(executorch::runtime::Tag tag, const std::string& what,
                            const BundledValue& bundled);
  Status add_scalar(executorch::runtime::Tag tag, const std::string& what, const GivenInput* given);

  std::vector<std::unique_ptr<std::byte[]>> elements_;
  std::vector<executorch::extension::TensorPtr> tensors_;
  std::vector<executorch::runtime::EValue> values_;
  std::vector<std::string> descriptions_;
  size_t made_up_ = 0;
};

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_METHOD_INPUTS_H_
