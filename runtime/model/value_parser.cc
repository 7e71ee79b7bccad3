#include "runtime/model/value_parser.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/half.h"
#include "runtime/model/float_formats.h"
#include "runtime/model/weights.h"

namespace coreml_delegate::model {

namespace {

constexpr int kMaxTypeDepth = 16;
constexpr int kMaxRank = 64;
constexpr std::string_view kModelPath = "@model_path/";
// What the values of one function may grow to where one value stands for a whole tensor.
constexpr uint64_t kMaxSplatBytes = uint64_t{256} << 20;

Result<int64_t> parse_dimension(const mil::Dimension& dimension) {
  if (dimension.constant == nullptr) return kDynamicExtent;
  const uint64_t size = dimension.constant->size;
  if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return corrupt_data("an extent of " + std::to_string(size) + " does not fit into 63 bits");
  }
  return static_cast<int64_t>(size);
}

Result<ValueType> parse_type(const mil::ValueType& type, int depth);

Result<ValueType> parse_tensor_type(const mil::TensorType& type) {
  ValueType result;
  result.element = element_type_from_proto(type.data_type);
  if (result.element == ElementType::kInvalid) {
    return corrupt_data("element type " + std::to_string(static_cast<int32_t>(type.data_type)) +
                        " is not defined");
  }
  result.unknown_rank = type.rank < 0;
  for (const mil::Dimension& dimension : type.dimensions) {
    if (dimension.unknown != nullptr && dimension.unknown->variadic) result.unknown_rank = true;
  }
  if (result.unknown_rank) return result;
  if (static_cast<uint64_t>(type.rank) != type.dimensions.size() || type.rank > kMaxRank) {
    return corrupt_data("a tensor type of rank " + std::to_string(type.rank) + " has " +
                        std::to_string(type.dimensions.size()) + " extents");
  }
  uint64_t elements = 1;
  for (const mil::Dimension& dimension : type.dimensions) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const int64_t extent, parse_dimension(dimension));
    result.shape.push_back(extent);
    // The product of the non-zero extents must fit, so that no partial product overflows either.
    if (extent > 0 && (__builtin_mul_overflow(elements, static_cast<uint64_t>(extent), &elements) ||
                       elements > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 8)) {
      return corrupt_data("a tensor type has more elements than can be addressed");
    }
  }
  return result;
}

Result<ValueType> parse_type(const mil::ValueType& type, int depth) {
  if (depth > kMaxTypeDepth) {
    return corrupt_data("a type is nested deeper than " + std::to_string(kMaxTypeDepth));
  }
  ValueType result;
  const auto add_member = [&](const mil::ValueType& member_type) -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(ValueType member, parse_type(member_type, depth + 1));
    result.members.push_back(std::move(member));
    return {};
  };
  if (type.tensor_type != nullptr) return parse_tensor_type(*type.tensor_type);
  if (type.state_type != nullptr) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(result, parse_type(type.state_type->wrapped_type, depth + 1));
    if (result.kind != ValueType::Kind::kTensor) {
      return corrupt_data("a state wraps " + result.to_string() + " instead of a tensor");
    }
    result.kind = ValueType::Kind::kState;
    return result;
  }
  if (type.list_type != nullptr) {
    result.kind = ValueType::Kind::kList;
    COREML_DELEGATE_RETURN_IF_ERROR(add_member(type.list_type->type));
    COREML_DELEGATE_ASSIGN_OR_RETURN(result.list_length, parse_dimension(type.list_type->length));
    return result;
  }
  if (type.tuple_type != nullptr) {
    result.kind = ValueType::Kind::kTuple;
    for (const mil::ValueType& member : type.tuple_type->types)
      COREML_DELEGATE_RETURN_IF_ERROR(add_member(member));
    return result;
  }
  if (type.dictionary_type != nullptr) {
    result.kind = ValueType::Kind::kDictionary;
    COREML_DELEGATE_RETURN_IF_ERROR(add_member(type.dictionary_type->key_type));
    COREML_DELEGATE_RETURN_IF_ERROR(add_member(type.dictionary_type->value_type));
    return result;
  }
  return corrupt_data("a value has no type");
}

bool same_type(const ValueType& a, const ValueType& b) {
  if (a.kind != b.kind || a.members.size() != b.members.size()) return false;
  for (size_t i = 0; i < a.members.size(); ++i) {
    if (!same_type(a.members[i], b.members[i])) return false;
  }
  return a.element == b.element && a.shape == b.shape;
}

Bytes allocate(uint64_t size, std::byte** data) {
  // operator new's alignment suits every element type.
  std::shared_ptr<std::byte[]> buffer(new std::byte[size != 0 ? size : 1]());
  *data = buffer.get();
  return Bytes(ByteSpan(buffer.get(), size), std::shared_ptr<const void>(buffer, buffer.get()));
}

// Bits of `value` as an element of `type`; false when it does not fit, or a number of this kind
// cannot be given for the type.
template <typename T>
bool encode(T value, ElementType type, uint64_t* bits) {
  if constexpr (std::is_same_v<T, bool>) {
    *bits = value ? 1 : 0;
    return type == ElementType::kBool;
  } else if constexpr (std::is_floating_point_v<T>) {
    switch (type) {
      case ElementType::kFloat16:
        *bits = float_to_half(static_cast<float>(value));
        return true;
      case ElementType::kFloat32:
        *bits = std::bit_cast<uint32_t>(static_cast<float>(value));
        return true;
      case ElementType::kFloat64:
        *bits = std::bit_cast<uint64_t>(static_cast<double>(value));
        return true;
      default:
        return false;
    }
  } else {
    const int64_t number = value;
    *bits = static_cast<uint64_t>(number);
    switch (type) {
      case ElementType::kInt4:
      case ElementType::kInt8:
      case ElementType::kInt16:
      case ElementType::kInt32: {
        const int64_t limit = int64_t{1} << (element_bits(type) - 1);
        return number >= -limit && number < limit;
      }
      case ElementType::kUInt1:
      case ElementType::kUInt2:
      case ElementType::kUInt3:
      case ElementType::kUInt4:
      case ElementType::kUInt6:
      case ElementType::kUInt8:
      case ElementType::kUInt16:
      case ElementType::kUInt32:
        return number >= 0 && number < int64_t{1} << element_bits(type);
      case ElementType::kInt64:
      case ElementType::kUInt64:
        return true;  // uint64 is stored as the int64 of the same bits.
      default:
        return false;
    }
  }
}

void store(std::byte* data, int64_t i, int width, uint64_t bits) {
  if (width >= 8) {
    std::memcpy(data + i * (width / 8), &bits, static_cast<size_t>(width / 8));
    return;
  }
  for (int bit = 0; bit < width; ++bit) {
    const uint64_t position =
        static_cast<uint64_t>(i) * static_cast<uint64_t>(width) + static_cast<uint64_t>(bit);
    if (((bits >> bit) & 1) != 0) data[position / 8] |= std::byte{1} << (position % 8);
  }
}

// The first `period` bytes again and again in all `size` of them.
void repeat(std::byte* data, uint64_t size, uint64_t period) {
  for (uint64_t done = period; done < size; done *= 2)
    std::memcpy(data + done, data, std::min(done, size - done));
}

// One element again and again in `size` bytes.
void store_everywhere(std::byte* data, uint64_t size, int width, uint64_t bits) {
  // Eight elements end at a byte, whatever their width.
  std::byte period[64] = {};
  for (int64_t i = 0; i < 8; ++i) store(period, i, width, bits);
  const auto period_bytes = static_cast<uint64_t>(width);
  std::memcpy(data, period, std::min(period_bytes, size));
  repeat(data, size, period_bytes);
}

// Whether the elements of a repeated field of T are the elements of `type` as they lie in memory.
template <typename T>
bool same_layout(ElementType type) {
  if constexpr (std::is_same_v<T, float>) return type == ElementType::kFloat32;
  if constexpr (std::is_same_v<T, double>) return type == ElementType::kFloat64;
  if constexpr (std::is_same_v<T, int32_t>) return type == ElementType::kInt32;
  if constexpr (std::is_same_v<T, int64_t>) {
    return type == ElementType::kInt64 || type == ElementType::kUInt64;
  }
  return false;
}

Status wrong_count(uint64_t have, const ValueType& type) {
  return corrupt_data("a constant has " + std::to_string(have) + " values, but its type " +
                      type.to_string() + " has another number");
}

// Adds the `size` bytes that one value becomes to those of the others.
Status count_splat(uint64_t size, const ValueType& type, uint64_t* splat_bytes) {
  if (size > kMaxSplatBytes - *splat_bytes) {
    return resource_exhausted("the values that single values stand for take more than the " +
                              std::to_string(kMaxSplatBytes) +
                              " bytes that a function may have of them; the last of them is for " +
                              type.to_string());
  }
  *splat_bytes += size;
  return {};
}

template <typename T>
Status fill(const std::vector<T>& values, const std::shared_ptr<const void>& owner,
            Constant* constant, uint64_t* splat_bytes) {
  const ValueType& type = constant->type;
  const int64_t count = type.element_count();
  uint64_t size;
  if (!packed_size(type.element, count, &size)) return wrong_count(0, type);
  const bool splat = values.size() == 1 && count > 1;
  if (!splat && values.size() != static_cast<uint64_t>(count)) {
    return wrong_count(values.size(), type);
  }
  if (splat) COREML_DELEGATE_RETURN_IF_ERROR(count_splat(size, type, splat_bytes));
  // std::vector<bool> has no array of its elements.
  if constexpr (!std::is_same_v<T, bool>) {
    if (!splat && same_layout<T>(type.element)) {
      constant->data = Bytes(std::as_bytes(std::span(values)), owner);
      return {};
    }
  }
  std::byte* data;
  constant->data = allocate(size, &data);
  const int width = element_bits(type.element);
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = values[i];
    uint64_t bits;
    if (!encode(value, type.element, &bits)) {
      return corrupt_data("value " + std::to_string(i) + " of a constant, " +
                          std::to_string(value) + ", is not a value of " + type.to_string());
    }
    if (splat) {
      store_everywhere(data, size, width, bits);
    } else {
      store(data, static_cast<int64_t>(i), width, bits);
    }
  }
  return {};
}

Status fill_bytes(const std::vector<std::byte>& values, const std::shared_ptr<const void>& owner,
                  Constant* constant, uint64_t* splat_bytes) {
  const ValueType& type = constant->type;
  uint64_t size;
  if (element_bits(type.element) == 0 || !packed_size(type.element, type.element_count(), &size)) {
    return corrupt_data("a constant of " + type.to_string() + " is stored as bytes");
  }
  if (values.size() == size) {
    constant->data = Bytes(ByteSpan(values), owner);
    return {};
  }
  const size_t width = static_cast<size_t>(element_bits(type.element)) / 8;
  if (width == 0 || values.size() != width) {
    return corrupt_data("a constant has " + std::to_string(values.size()) +
                        " bytes, but its type " + type.to_string() + " takes " +
                        std::to_string(size));
  }
  COREML_DELEGATE_RETURN_IF_ERROR(count_splat(size, type, splat_bytes));
  std::byte* data;
  constant->data = allocate(size, &data);
  if (size == 0) return {};
  std::memcpy(data, values.data(), width);
  repeat(data, size, width);
  return {};
}

}  // namespace

ElementType element_type_from_proto(mil::DataType type) {
  switch (type) {
    case mil::DataType::kBool:
      return ElementType::kBool;
    case mil::DataType::kString:
      return ElementType::kString;
    case mil::DataType::kFloat8E4M3FN:
      return ElementType::kFloat8E4M3FN;
    case mil::DataType::kFloat8E5M2:
      return ElementType::kFloat8E5M2;
    case mil::DataType::kFloat16:
      return ElementType::kFloat16;
    case mil::DataType::kFloat32:
      return ElementType::kFloat32;
    case mil::DataType::kFloat64:
      return ElementType::kFloat64;
    case mil::DataType::kBFloat16:
      return ElementType::kBFloat16;
    case mil::DataType::kInt4:
      return ElementType::kInt4;
    case mil::DataType::kInt8:
      return ElementType::kInt8;
    case mil::DataType::kInt16:
      return ElementType::kInt16;
    case mil::DataType::kInt32:
      return ElementType::kInt32;
    case mil::DataType::kInt64:
      return ElementType::kInt64;
    case mil::DataType::kUInt1:
      return ElementType::kUInt1;
    case mil::DataType::kUInt2:
      return ElementType::kUInt2;
    case mil::DataType::kUInt3:
      return ElementType::kUInt3;
    case mil::DataType::kUInt4:
      return ElementType::kUInt4;
    case mil::DataType::kUInt6:
      return ElementType::kUInt6;
    case mil::DataType::kUInt8:
      return ElementType::kUInt8;
    case mil::DataType::kUInt16:
      return ElementType::kUInt16;
    case mil::DataType::kUInt32:
      return ElementType::kUInt32;
    case mil::DataType::kUInt64:
      return ElementType::kUInt64;
    default:
      return ElementType::kInvalid;
  }
}

Result<ValueType> parse_type(const mil::ValueType& type) { return parse_type(type, 0); }

Result<ConstantPtr> ValueParser::parse(const mil::Value& value) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(Constant constant, parse_value(value, 0));
  return ConstantPtr(std::make_shared<const Constant>(std::move(constant)));
}

Result<Constant> ValueParser::parse_value(const mil::Value& value, int depth) {
  if (depth > kMaxTypeDepth) {
    return corrupt_data("a constant is nested deeper than " + std::to_string(kMaxTypeDepth));
  }
  Constant constant;
  COREML_DELEGATE_ASSIGN_OR_RETURN(constant.type, parse_type(value.type, depth));
  const ValueType& type = constant.type;

  if (value.blob_file_value != nullptr) {
    if (type.kind != ValueType::Kind::kTensor || !type.is_static() ||
        type.element == ElementType::kString) {
      return corrupt_data("a constant of " + type.to_string() + " is kept in a weight file");
    }
    COREML_DELEGATE_ASSIGN_OR_RETURN(constant.data, read_blob(*value.blob_file_value, type));
    return constant;
  }

  const mil::ImmediateValue& immediate = mil::or_default(value.immediate_value);
  const auto add_item = [&](const mil::Value& item, const ValueType& expected) -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(Constant parsed, parse_value(item, depth + 1));
    if (!same_type(parsed.type, expected)) {
      return corrupt_data("an item of a constant is " + parsed.type.to_string() + " instead of " +
                          expected.to_string());
    }
    constant.items.push_back(std::move(parsed));
    return {};
  };
  switch (type.kind) {
    case ValueType::Kind::kState:
      return corrupt_data("a constant has the type of a state");
    case ValueType::Kind::kTensor:
      if (!type.is_static()) {
        return corrupt_data("a constant has the dynamic type " + type.to_string());
      }
      COREML_DELEGATE_RETURN_IF_ERROR(parse_tensor(mil::or_default(immediate.tensor), &constant));
      return constant;
    case ValueType::Kind::kList: {
      const std::vector<mil::Value>& values = mil::or_default(immediate.list).values;
      if (type.list_length != kDynamicExtent &&
          static_cast<uint64_t>(type.list_length) != values.size()) {
        return wrong_count(values.size(), type);
      }
      for (const mil::Value& item : values)
        COREML_DELEGATE_RETURN_IF_ERROR(add_item(item, type.members[0]));
      return constant;
    }
    case ValueType::Kind::kTuple: {
      const std::vector<mil::Value>& values = mil::or_default(immediate.tuple).values;
      if (values.size() != type.members.size()) return wrong_count(values.size(), type);
      for (size_t i = 0; i < values.size(); ++i) {
        COREML_DELEGATE_RETURN_IF_ERROR(add_item(values[i], type.members[i]));
      }
      return constant;
    }
    case ValueType::Kind::kDictionary:
      for (const mil::KeyValuePair& pair : mil::or_default(immediate.dictionary).values) {
        COREML_DELEGATE_RETURN_IF_ERROR(add_item(pair.key, type.members[0]));
        COREML_DELEGATE_RETURN_IF_ERROR(add_item(pair.value, type.members[1]));
      }
      return constant;
  }
  return corrupt_data("a constant has no type");
}

Status ValueParser::parse_tensor(const mil::TensorValue& value, Constant* constant) {
  const ValueType& type = constant->type;
  const int64_t count = type.element_count();
  if (type.element == ElementType::kString) {
    const std::vector<std::string>& strings = mil::or_default(value.strings).values;
    if (value.strings == nullptr || strings.size() != static_cast<uint64_t>(count)) {
      return wrong_count(strings.size(), type);
    }
    constant->strings = strings;
    return {};
  }
  const auto fill_from = [&](const auto& numbers) {
    return fill(numbers.values, owner_, constant, &splat_bytes_);
  };
  if (value.floats != nullptr) return fill_from(*value.floats);
  if (value.doubles != nullptr) return fill_from(*value.doubles);
  if (value.ints != nullptr) return fill_from(*value.ints);
  if (value.long_ints != nullptr) return fill_from(*value.long_ints);
  if (value.bools != nullptr) return fill_from(*value.bools);
  if (value.bytes != nullptr) {
    return fill_bytes(value.bytes->values, owner_, constant, &splat_bytes_);
  }
  if (value.strings != nullptr) {
    return corrupt_data("a constant of " + type.to_string() + " is stored as strings");
  }
  // Some writers leave the value of an empty tensor out.
  return count == 0 ? Status() : wrong_count(0, type);
}

uint64_t ValueParser::weight_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, content] : weight_files_) bytes += content.size();
  return bytes;
}

Result<Bytes> ValueParser::read_blob(const mil::BlobFileValue& value, const ValueType& type) {
  const std::string& name = value.file_name;
  auto file = weight_files_.find(name);
  if (file == weight_files_.end()) {
    if (!std::string_view(name).starts_with(kModelPath)) {
      return corrupt_data("a weight file's name does not start with @model_path/", name);
    }
    Result<Bytes> content = files_.read(std::string_view(name).substr(kModelPath.size()));
    if (!content.ok()) {
      return content.status().annotate_as(
          StatusCode::kCorruptData,
          "the program names a weight file that the package does not have", name);
    }
    file = weight_files_.emplace(name, *std::move(content)).first;
  }
  return read_weight(file->second, name, value.offset, type.element, type.element_count());
}

}  // namespace coreml_delegate::model
