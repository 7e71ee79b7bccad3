#include "blob/rules.h"

#include <bit>
#include <set>
#include <utility>

#include "base/utf8.h"

namespace coreml_delegate::blob {
namespace {

bool multiply(uint64_t a, uint64_t b, uint64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

// Says which tensor of which function breaks a rule.
class TensorChecker {
 public:
  TensorChecker(const std::string& function, const char* role, StatusCode code)
      : function_(function), role_(role), code_(code) {}

  Status broken(const TensorSpec& tensor, const std::string& rule) const {
    return Status(code_, std::string(role_) + " '" + tensor.name + "': " + rule,
                  "function " + function_);
  }

  Status check(const TensorSpec& tensor) const {
    COREML_DELEGATE_RETURN_IF_ERROR(check_name(
        tensor.name, std::string("the name of an ") + role_ + " of function " + function_, code_));
    if (data_type_size(tensor.dtype) == 0) {
      return broken(tensor,
                    "dtype " + std::to_string(static_cast<int>(tensor.dtype)) + " does not exist");
    }
    if (tensor.shape.size() > kMaxRank) return broken(tensor, "the rank is above 16");
    for (const Dimension& dimension : tensor.shape) {
      if (dimension.min < 0) return broken(tensor, "a dimension has a negative minimum");
      if (dimension.max != Dimension::kUnbounded && dimension.max < dimension.min) {
        return broken(tensor, "a dimension has a maximum below its minimum");
      }
    }
    if (tensor.enumerated_shapes.size() > kMaxEnumeratedShapes) {
      return broken(tensor, "there are more than 1024 enumerated shapes");
    }
    for (const std::vector<int64_t>& extents : tensor.enumerated_shapes) {
      if (extents.size() != tensor.shape.size()) {
        return broken(tensor, "an enumerated shape has another rank than the tensor");
      }
      for (size_t i = 0; i < extents.size(); ++i) {
        if (tensor.shape[i].contains(extents[i])) continue;
        return broken(tensor, "an enumerated shape lies outside the dimensions");
      }
    }
    return {};
  }

 private:
  const std::string& function_;
  const char* role_;
  const StatusCode code_;
};

Status check_state(const State& state, const inmemoryfs::InMemoryFileSystem& files,
                   const TensorChecker& checker) {
  COREML_DELEGATE_RETURN_IF_ERROR(checker.check(state.tensor));
  if (!state.tensor.is_static() || !state.tensor.enumerated_shapes.empty()) {
    return checker.broken(state.tensor, "a state must have a fixed shape");
  }
  if (state.initial_value_path.empty()) return {};
  uint64_t bytes = data_type_size(state.tensor.dtype);
  for (const Dimension& dimension : state.tensor.shape) {
    if (!multiply(bytes, static_cast<uint64_t>(dimension.min), bytes)) {
      return checker.broken(state.tensor, "the shape has too many elements");
    }
  }
  const Result<inmemoryfs::Metadata> file = files.metadata(state.initial_value_path);
  if (!file.ok() || file->kind != inmemoryfs::NodeKind::kFile) {
    return checker.broken(state.tensor, "the initial value is not a file of the blob: " +
                                            state.initial_value_path.substr(0, 255));
  }
  if (file->size != bytes) {
    return checker.broken(state.tensor, "the initial value has " + std::to_string(file->size) +
                                            " bytes, but the shape needs " + std::to_string(bytes));
  }
  return {};
}

Status check_function(const Function& function, const inmemoryfs::InMemoryFileSystem& files,
                      StatusCode code) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_name(function.name, "the name of a function", code));
  if (!function.method.empty()) {
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_name(function.method, "the method of function " + function.name, code));
  }
  if (function.inputs.size() > kMaxTensors || function.outputs.size() > kMaxTensors ||
      function.states.size() > kMaxTensors) {
    return Status(code, "there are more than 65536 inputs, outputs or states",
                  "function " + function.name);
  }
  const TensorChecker inputs(function.name, "input", code);
  const TensorChecker outputs(function.name, "output", code);
  const TensorChecker states(function.name, "state", code);
  std::set<std::string_view> in_names;
  for (const TensorSpec& tensor : function.inputs) {
    COREML_DELEGATE_RETURN_IF_ERROR(inputs.check(tensor));
    if (!in_names.insert(tensor.name).second) {
      return inputs.broken(tensor, "the name occurs twice");
    }
  }
  for (const State& state : function.states) {
    COREML_DELEGATE_RETURN_IF_ERROR(check_state(state, files, states));
    if (!in_names.insert(state.tensor.name).second) {
      return states.broken(state.tensor, "the name occurs twice, or is also that of an input");
    }
  }
  std::set<std::string_view> out_names;
  for (const TensorSpec& tensor : function.outputs) {
    COREML_DELEGATE_RETURN_IF_ERROR(outputs.check(tensor));
    if (!out_names.insert(tensor.name).second) {
      return outputs.broken(tensor, "the name occurs twice");
    }
  }
  return {};
}

}  // namespace

bool is_valid_alignment(uint64_t alignment) {
  return std::has_single_bit(alignment) && alignment <= kMaxAlignment;
}

Status check_name(std::string_view name, const std::string& what, StatusCode code) {
  const auto broken = [&](const char* rule) { return Status(code, what + " " + rule); };
  if (name.empty()) return broken("is empty");
  if (name.size() > kMaxNameBytes) return broken("has more than 4096 bytes");
  if (name.find('\0') != std::string_view::npos) return broken("contains NUL");
  if (!is_valid_utf8(name)) return broken("is not UTF-8");
  return {};
}

Status check_functions(const std::vector<Function>& functions,
                       const inmemoryfs::InMemoryFileSystem& files, StatusCode code) {
  if (functions.empty()) return Status(code, "the blob has no function");
  if (functions.size() > kMaxFunctions)
    return Status(code, "the blob has more than 10000 functions");
  std::set<std::string_view> names;
  for (const Function& function : functions) {
    COREML_DELEGATE_RETURN_IF_ERROR(check_function(function, files, code));
    if (!names.insert(function.name).second) {
      return Status(code, "two functions have this name", "function " + function.name);
    }
  }
  return {};
}

}  // namespace coreml_delegate::blob
