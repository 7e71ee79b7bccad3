#ifndef COREML_DELEGATE_RUNTIME_RUNNER_BUNDLED_PROGRAM_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_BUNDLED_PROGRAM_H_

// ExecuTorch's bundled programs (.bpte): a program with inputs and expected outputs of its methods.
//
// Thread rule: pure functions over values.

#include <executorch/runtime/core/evalue.h>

#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "base/tensor_type.h"

namespace coreml_delegate::runner {

struct BundledTensor {
  DataType dtype = DataType::kInvalid;
  std::vector<int64_t> shape;
  ByteSpan elements;  // Row by row, as many as the shape says; borrowed from the file.
};
using BundledValue = std::variant<BundledTensor, int64_t, double, bool>;

// One test case of one method.
struct BundledProgram {
  Bytes program;  // A .pte, a part of the file.
  std::string method;
  std::vector<BundledValue> inputs;
  std::vector<BundledValue> outputs;  // Empty: the case expects nothing.
};

// Whether bytes begin as a .bpte does.
bool is_bundled_program(ByteSpan file);

// Test case `index` of `method`, or where the file has no cases of that method but cases of one
// other, of that. `path` is for messages. corrupt_data for what is no bundled program or has parts
// that do not fit together, version_too_new, not_found for a case that is not there, unsupported
// for a value that the runner cannot give.
Result<BundledProgram> read_bundled_program(const Bytes& file, const std::string& path,
                                            const std::string& method, size_t index);

// Success where each output is as expected: |output - expected| <= 1e-5 + 1e-3 |expected|, and NaN
// where NaN is expected. Else failed_precondition that names the first element that is not.
Status check_outputs(const std::vector<executorch::runtime::EValue>& outputs,
                     const std::vector<BundledValue>& expected, const std::string& path);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_BUNDLED_PROGRAM_H_
