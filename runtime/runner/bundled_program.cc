#include "runtime/runner/bundled_program.h"

#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "runtime/delegate/tensor_types.h"
#include "runtime/runner/bundled_program_generated.h"
#include "runtime/runner/elements.h"

namespace coreml_delegate::runner {
namespace {

namespace schema = bundled;
using executorch::runtime::EValue;

// BundledProgram.version of what this reads.
constexpr uint32_t kVersion = 2;

Result<BundledTensor> read_tensor(const schema::TensorData& tensor, const std::string& what) {
  BundledTensor read;
  read.dtype = to_data_type(static_cast<executorch::aten::ScalarType>(tensor.scalar_type()));
  if (read.dtype == DataType::kInvalid) {
    return unsupported("the elements of the tensor have ExecuTorch's scalar type " +
                           std::to_string(static_cast<int>(tensor.scalar_type())),
                       what);
  }
  uint64_t size = data_type_size(read.dtype);
  if (tensor.sizes() != nullptr) {
    for (const int32_t extent : *tensor.sizes()) {
      if (extent < 0 || __builtin_mul_overflow(size, static_cast<uint64_t>(extent), &size)) {
        return corrupt_data("a tensor of the bundle has impossible extents", what);
      }
      read.shape.push_back(extent);
    }
  }
  if (tensor.dim_order() != nullptr) {
    for (size_t i = 0; i < tensor.dim_order()->size(); ++i) {
      if (tensor.dim_order()->Get(static_cast<uint32_t>(i)) != i) {
        return unsupported(
            "the elements of the tensor do not lie row by row: bundle a contiguous tensor", what);
      }
    }
  }
  const size_t given = tensor.data() == nullptr ? 0 : tensor.data()->size();
  if (given != size) {
    return corrupt_data(
        "a tensor of the bundle has " + std::to_string(given) + " bytes of " + std::to_string(size),
        what);
  }
  if (given > 0) {
    read.elements = {reinterpret_cast<const std::byte*>(tensor.data()->data()), given};
  }
  return read;
}

Result<std::vector<BundledValue>> read_values(
    const flatbuffers::Vector<flatbuffers::Offset<schema::Value>>* values,
    const std::string& what) {
  std::vector<BundledValue> read;
  if (values == nullptr) return read;
  for (const schema::Value* value : *values) {
    const std::string name = what + " " + std::to_string(read.size());
    if (const auto* const tensor = value->value_as_TensorData()) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(BundledTensor elements, read_tensor(*tensor, name));
      read.emplace_back(std::move(elements));
    } else if (const auto* const integer = value->value_as_Integer()) {
      read.emplace_back(integer->value());
    } else if (const auto* const real = value->value_as_Real()) {
      read.emplace_back(real->value());
    } else if (const auto* const truth = value->value_as_Truth()) {
      read.emplace_back(truth->value());
    } else {
      return unsupported("the bundle has a value of a kind that this program does not know", name);
    }
  }
  return read;
}

Elements elements_of(const BundledValue& value) {
  if (const auto* const tensor = std::get_if<BundledTensor>(&value)) {
    return {tensor->dtype, tensor->shape, {tensor->elements.begin(), tensor->elements.end()}};
  }
  if (const int64_t* const number = std::get_if<int64_t>(&value)) {
    return number_elements(DataType::kInt64, *number);
  }
  if (const double* const number = std::get_if<double>(&value)) {
    return number_elements(DataType::kFloat64, *number);
  }
  return number_elements(DataType::kBool, std::get<bool>(value));
}

}  // namespace

bool is_bundled_program(ByteSpan file) {
  // The identifier with its version.
  return file.size() >= 8 && as_text(file).substr(4, 2) == "BP";
}

Result<BundledProgram> read_bundled_program(const Bytes& file, const std::string& path,
                                            const std::string& method, size_t index) {
  const auto* const begin = reinterpret_cast<const uint8_t*>(file.data());
  if (!schema::BundleBufferHasIdentifier(begin)) {
    return Status(StatusCode::kVersionTooNew,
                  "the bundle has the format " + std::string(as_text(file.span()).substr(4, 4)) +
                      ", and this program reads " + schema::BundleIdentifier() +
                      ": bundle the program again, with the version of executorch that this "
                      "program is built with",
                  path);
  }
  flatbuffers::Verifier verifier(begin, file.size());
  if (!schema::VerifyBundleBuffer(verifier)) {
    return corrupt_data("the bundle is damaged or incomplete: copy it again", path);
  }
  const schema::Bundle& bundle = *schema::GetBundle(begin);
  if (bundle.version() > kVersion) {
    return Status(StatusCode::kVersionTooNew,
                  "the bundle has version " + std::to_string(bundle.version()) +
                      ", and this program reads " + std::to_string(kVersion),
                  path);
  }
  if (bundle.program() == nullptr) return corrupt_data("the bundle has no program", path);
  const auto* const program = reinterpret_cast<const std::byte*>(bundle.program()->data());
  BundledProgram read;
  read.program = file.subspan(static_cast<size_t>(program - file.data()), bundle.program()->size());

  const schema::MethodCases* suite = nullptr;
  const auto* const suites = bundle.methods();
  std::string names;
  if (suites != nullptr) {
    for (const schema::MethodCases* candidate : *suites) {
      const std::string name = candidate->method() == nullptr ? "" : candidate->method()->str();
      names += (names.empty() ? "" : ", ") + name;
      if (name == method || (suite == nullptr && suites->size() == 1)) suite = candidate;
      if (name == method) break;
    }
  }
  if (suite == nullptr) {
    return not_found("the bundle has no test cases for this method; it has test cases for " + names,
                     method);
  }
  if (suite->method() != nullptr) read.method = suite->method()->str();
  const auto* const cases = suite->cases();
  const size_t count = cases == nullptr ? 0 : cases->size();
  if (index >= count) {
    return not_found("the bundle has " + std::to_string(count) + " test cases of " + read.method +
                         ", and no case " + std::to_string(index),
                     path);
  }
  const schema::TestCase* const test = cases->Get(static_cast<uint32_t>(index));
  COREML_DELEGATE_ASSIGN_OR_RETURN(read.inputs,
                                   read_values(test->inputs(), "input of the bundle,"));
  COREML_DELEGATE_ASSIGN_OR_RETURN(read.outputs,
                                   read_values(test->expected_outputs(), "expected output"));
  return read;
}

Status check_outputs(const std::vector<EValue>& outputs, const std::vector<BundledValue>& expected,
                     const std::string& path) {
  constexpr double kRelative = 1e-3;
  constexpr double kAbsolute = 1e-5;
  if (expected.empty()) {
    return failed_precondition("the bundle has no expected outputs: bundle expected outputs too",
                               path);
  }
  if (outputs.size() != expected.size()) {
    return corrupt_data("the method has " + std::to_string(outputs.size()) +
                            " outputs, but the bundle expects " + std::to_string(expected.size()),
                        path);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string what = "output " + std::to_string(i);
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Elements actual, copy_elements(outputs[i], i));
    const Elements wanted = elements_of(expected[i]);
    if (actual.dtype != wanted.dtype || actual.shape != wanted.shape) {
      return failed_precondition(
          what + " is " + type_text(actual) + ", but the bundle expects " + type_text(wanted),
          path);
    }
    const size_t count = actual.bytes.size() / data_type_size(actual.dtype);
    for (size_t j = 0; j < count; ++j) {
      const double found = element_as_double(actual.dtype, actual.bytes.data(), j);
      const double right = element_as_double(wanted.dtype, wanted.bytes.data(), j);
      if (found == right || (std::isnan(found) && std::isnan(right)) ||
          std::abs(found - right) <= kAbsolute + kRelative * std::abs(right)) {
        continue;
      }
      char text[160];
      std::snprintf(text, sizeof(text),
                    "%s is not what the bundle expects: element %zu is %.9g, but should be %.9g",
                    what.c_str(), j, found, right);
      return failed_precondition(text, path);
    }
  }
  return {};
}

}  // namespace coreml_delegate::runner
