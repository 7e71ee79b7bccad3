#ifndef COREML_DELEGATE_RUNTIME_RUNNER_NPY_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_NPY_H_

// NumPy's .npy files of arrays of numbers, versions 1 to 3, little-endian and in C order.
//
// Thread rule: pure functions.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "base/tensor_type.h"

namespace coreml_delegate::runner {

struct NpyArray {
  DataType dtype = DataType::kInvalid;
  std::vector<int64_t> shape;
  ByteSpan elements;  // Borrowed from the file's bytes; need not be aligned.
};

// `path` is for messages. corrupt_data for what is no .npy file or not a whole one; unsupported for
// elements or an order that cannot be read.
Result<NpyArray> parse_npy(ByteSpan file, const std::string& path);

// Everything of a version 1 file before the elements; its size is a multiple of 64.
std::string make_npy_header(DataType dtype, std::span<const int64_t> shape);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_NPY_H_
