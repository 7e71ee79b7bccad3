#include "runtime/runner/method_inputs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numbers>
#include <span>
#include <utility>
#include <variant>

#include "base/half.h"
#include "base/tensor_type.h"
#include "runtime/delegate/tensor_types.h"
#include "runtime/runner/npy.h"

namespace coreml_delegate::runner {
namespace {

using executorch::runtime::MethodMeta;
using executorch::runtime::Tag;
using executorch::runtime::TensorInfo;

// The same numbers everywhere, which the standard library's distributions do not promise.
class NormalNumbers {
 public:
  explicit NormalNumbers(uint64_t seed) : state_(seed) {}

  float next() {
    // Box and Muller.
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return static_cast<float>(radius * std::cos(2 * std::numbers::pi * uniform()));
  }

 private:
  // In [0, 1). SplitMix64.
  double uniform() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }

  uint64_t state_;
};

template <typename T>
void put(std::byte* elements, size_t index, T value) {
  std::memcpy(elements + index * sizeof(T), &value, sizeof(T));
}

void put_number(DataType dtype, std::byte* elements, size_t index, float value) {
  switch (dtype) {
    case DataType::kFloat16: {
      uint16_t half;
      half = float_to_half(value);
      return put(elements, index, half);
    }
    case DataType::kFloat32:
      return put(elements, index, value);
    case DataType::kFloat64:
      return put(elements, index, static_cast<double>(value));
    case DataType::kInt16:
    case DataType::kUInt16:
      return put(elements, index, static_cast<int16_t>(value));
    case DataType::kInt32:
      return put(elements, index, static_cast<int32_t>(value));
    case DataType::kInt64:
      return put(elements, index, static_cast<int64_t>(value));
    case DataType::kBool:
    case DataType::kInt8:
    case DataType::kUInt8:
      return put(elements, index, static_cast<int8_t>(value));
    case DataType::kInvalid:
      return;
  }
}

bool is_real(DataType dtype) {
  return dtype == DataType::kFloat16 || dtype == DataType::kFloat32 || dtype == DataType::kFloat64;
}

std::string type_text(DataType dtype, std::span<const int64_t> shape) {
  return std::string(data_type_name(dtype)) + shape_to_string(shape.data(), shape.size());
}

bool ends_in(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

Result<MethodInputs> MethodInputs::create(const MethodMeta& method, const CommandLine& line,
                                          const FileSystem& files,
                                          const std::vector<BundledValue>& bundled) {
  const size_t count = method.num_inputs();
  if (!bundled.empty() && bundled.size() != count) {
    return corrupt_data("the method takes " + std::to_string(count) +
                            " inputs, but the bundle has " + std::to_string(bundled.size()),
                        line.model);
  }
  std::vector<const GivenInput*> given(count, nullptr);
  for (const GivenInput& input : line.inputs) {
    if (input.index >= count) {
      return invalid_argument("the method takes " + std::to_string(count) +
                                  " inputs, so there is no input " + std::to_string(input.index),
                              line.method);
    }
    given[input.index] = &input;
  }
  MethodInputs inputs;
  for (size_t i = 0; i < count; ++i) {
    const std::string what = "input " + std::to_string(i) + " of " + line.method;
    const auto tag = method.input_tag(i);
    if (!tag.ok())
      return corrupt_data("the program does not say which kind of input this is", what);
    const BundledValue* const from_bundle =
        given[i] == nullptr && !bundled.empty() ? &bundled[i] : nullptr;
    if (*tag == Tag::Tensor) {
      const auto info = method.input_tensor_meta(i);
      if (!info.ok()) return corrupt_data("the program does not describe this tensor", what);
      COREML_DELEGATE_RETURN_IF_ERROR(
          inputs.add_tensor(*info, what, given[i], from_bundle, line, files));
    } else if (from_bundle != nullptr) {
      COREML_DELEGATE_RETURN_IF_ERROR(inputs.add_bundled_scalar(*tag, what, *from_bundle));
    } else {
      COREML_DELEGATE_RETURN_IF_ERROR(inputs.add_scalar(*tag, what, given[i]));
    }
    if (given[i] == nullptr && from_bundle == nullptr) ++inputs.made_up_;
  }
  return inputs;
}

Status MethodInputs::add_tensor(const TensorInfo& info, const std::string& what,
                                const GivenInput* given, const BundledValue* bundled,
                                const CommandLine& line, const FileSystem& files) {
  const DataType dtype = to_data_type(info.scalar_type());
  if (dtype == DataType::kInvalid) {
    return unsupported("elements of " + scalar_type_text(info.scalar_type()) +
                           " cannot be passed on the command line",
                       what);
  }
  std::vector<int64_t> shape(info.sizes().begin(), info.sizes().end());
  size_t count = info.nbytes() / data_type_size(dtype);
  const std::string expected = type_text(dtype, shape);
  Bytes file;
  ByteSpan source;
  if (given != nullptr) {
    Result<Bytes> mapped = files.map(given->value);
    if (!mapped.ok()) return mapped.status().annotate("the file of " + what + " cannot be read");
    file = *std::move(mapped);
    source = file.span();
    if (ends_in(given->value, ".npy")) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const NpyArray array, parse_npy(source, given->value));
      if (array.dtype != dtype || array.shape.size() != shape.size()) {
        return invalid_argument(
            what + " is " + expected + ", but the file has " + type_text(array.dtype, array.shape),
            given->value);
      }
      shape = array.shape;
      source = array.elements;
      count = source.size() / data_type_size(dtype);
    } else if (source.size() != info.nbytes()) {
      return invalid_argument(what + " is " + expected + ", " + std::to_string(info.nbytes()) +
                                  " bytes, but the file has " + std::to_string(source.size()),
                              given->value);
    }
  }
  if (bundled != nullptr) {
    const auto* const tensor = std::get_if<BundledTensor>(bundled);
    if (tensor == nullptr || tensor->dtype != dtype || tensor->shape.size() != shape.size()) {
      return invalid_argument(
          what + " is " + expected + ", but the bundle has " +
              (tensor == nullptr ? "a number" : type_text(tensor->dtype, tensor->shape)),
          line.model);
    }
    shape = tensor->shape;
    source = tensor->elements;
    count = source.size() / data_type_size(dtype);
  }
  auto elements = std::make_unique<std::byte[]>(count * data_type_size(dtype));
  if (given != nullptr || bundled != nullptr) {
    if (!source.empty()) std::memcpy(elements.get(), source.data(), source.size());
    if (dtype == DataType::kBool) {
      // A bool of C++ is 0 or 1; what else a file has would be undefined in every kernel.
      std::transform(elements.get(), elements.get() + count, elements.get(),
                     [](std::byte b) { return b == std::byte{0} ? b : std::byte{1}; });
    }
  } else if (line.seed && is_real(dtype)) {
    // Each input its own numbers, whatever the others are.
    NormalNumbers numbers(*line.seed * 1'000'003 + values_.size());
    for (size_t i = 0; i < count; ++i) put_number(dtype, elements.get(), i, numbers.next());
  } else if (!line.seed) {
    for (size_t i = 0; i < count; ++i) put_number(dtype, elements.get(), i, 1);
  }
  std::vector<executorch::aten::SizesType> sizes(shape.begin(), shape.end());
  tensors_.push_back(
      executorch::extension::make_tensor_ptr(std::move(sizes), elements.get(), info.scalar_type()));
  elements_.push_back(std::move(elements));
  values_.emplace_back(*tensors_.back());
  descriptions_.push_back(type_text(dtype, shape));
  return {};
}

Status MethodInputs::add_bundled_scalar(Tag tag, const std::string& what,
                                        const BundledValue& bundled) {
  const auto add = [&](const auto& number, const char* description) -> Status {
    values_.emplace_back(number);
    descriptions_.emplace_back(description);
    return {};
  };
  if (const int64_t* const integer = std::get_if<int64_t>(&bundled)) {
    if (tag == Tag::Int) return add(*integer, "int");
  } else if (const double* const number = std::get_if<double>(&bundled)) {
    if (tag == Tag::Double) return add(*number, "double");
  } else if (const bool* const truth = std::get_if<bool>(&bundled)) {
    if (tag == Tag::Bool) return add(*truth, "bool");
  }
  return invalid_argument("the bundle has a value of another kind for this input", what);
}

Status MethodInputs::add_scalar(Tag tag, const std::string& what, const GivenInput* given) {
  const std::string text = given != nullptr ? given->value : "1";
  const auto parse = [&](auto& value) {
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && rest == end;
  };
  if (tag == Tag::Int) {
    int64_t value = 0;
    if (!parse(value))
      return invalid_argument("this input must be a whole number, not " + text, what);
    values_.emplace_back(value);
    descriptions_.push_back("int");
    return {};
  }
  if (tag == Tag::Double) {
    double value = 0;
    if (!parse(value)) return invalid_argument("this input must be a number, not " + text, what);
    values_.emplace_back(value);
    descriptions_.push_back("double");
    return {};
  }
  if (tag == Tag::Bool) {
    if (text != "0" && text != "1" && text != "true" && text != "false") {
      return invalid_argument("this input must be true or false, not " + text, what);
    }
    values_.emplace_back(text == "1" || text == "true");
    descriptions_.push_back("bool");
    return {};
  }
  if (tag == Tag::None && given == nullptr) {
    values_.emplace_back();
    descriptions_.push_back("none");
    return {};
  }
  return unsupported("only tensors, numbers and truth values can be passed on the command line",
                     what);
}

}  // namespace coreml_delegate::runner
