#include "runtime/model/program.h"

#include <bit>
#include <cassert>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "runtime/model/float_formats.h"

namespace coreml_delegate::model {

namespace {

template <typename T>
T load(const std::byte* data, int64_t i) {
  T value;
  std::memcpy(&value, data + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return value;
}

// Element i of a packed sequence of `bits`-bit unsigned values, lowest bit first.
uint32_t load_packed(const Bytes& bytes, int64_t i, int bits) {
  const uint64_t first = static_cast<uint64_t>(i) * static_cast<uint64_t>(bits);
  const size_t byte = first / 8;
  uint32_t window = static_cast<uint32_t>(bytes.data()[byte]);
  if (byte + 1 < bytes.size()) window |= static_cast<uint32_t>(bytes.data()[byte + 1]) << 8;
  return (window >> (first % 8)) & ((1u << bits) - 1);
}

std::string extents_to_string(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i != 0) text += ", ";
    text += shape[i] == kDynamicExtent ? "?" : std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace

int element_bits(ElementType type) {
  switch (type) {
    case ElementType::kInvalid:
    case ElementType::kString:
      return 0;
    case ElementType::kUInt1:
      return 1;
    case ElementType::kUInt2:
      return 2;
    case ElementType::kUInt3:
      return 3;
    case ElementType::kInt4:
    case ElementType::kUInt4:
      return 4;
    case ElementType::kUInt6:
      return 6;
    case ElementType::kBool:
    case ElementType::kFloat8E4M3FN:
    case ElementType::kFloat8E5M2:
    case ElementType::kInt8:
    case ElementType::kUInt8:
      return 8;
    case ElementType::kFloat16:
    case ElementType::kBFloat16:
    case ElementType::kInt16:
    case ElementType::kUInt16:
      return 16;
    case ElementType::kFloat32:
    case ElementType::kInt32:
    case ElementType::kUInt32:
      return 32;
    case ElementType::kFloat64:
    case ElementType::kInt64:
    case ElementType::kUInt64:
      return 64;
  }
  return 0;
}

std::string_view element_type_name(ElementType type) {
  switch (type) {
    case ElementType::kInvalid:
      return "invalid";
    case ElementType::kBool:
      return "bool";
    case ElementType::kString:
      return "string";
    case ElementType::kFloat16:
      return "fp16";
    case ElementType::kFloat32:
      return "fp32";
    case ElementType::kFloat64:
      return "fp64";
    case ElementType::kBFloat16:
      return "bf16";
    case ElementType::kFloat8E4M3FN:
      return "fp8e4m3fn";
    case ElementType::kFloat8E5M2:
      return "fp8e5m2";
    case ElementType::kInt4:
      return "int4";
    case ElementType::kInt8:
      return "int8";
    case ElementType::kInt16:
      return "int16";
    case ElementType::kInt32:
      return "int32";
    case ElementType::kInt64:
      return "int64";
    case ElementType::kUInt1:
      return "uint1";
    case ElementType::kUInt2:
      return "uint2";
    case ElementType::kUInt3:
      return "uint3";
    case ElementType::kUInt4:
      return "uint4";
    case ElementType::kUInt6:
      return "uint6";
    case ElementType::kUInt8:
      return "uint8";
    case ElementType::kUInt16:
      return "uint16";
    case ElementType::kUInt32:
      return "uint32";
    case ElementType::kUInt64:
      return "uint64";
  }
  return "invalid";
}

bool is_float(ElementType type) {
  switch (type) {
    case ElementType::kFloat16:
    case ElementType::kFloat32:
    case ElementType::kFloat64:
    case ElementType::kBFloat16:
    case ElementType::kFloat8E4M3FN:
    case ElementType::kFloat8E5M2:
      return true;
    default:
      return false;
  }
}

int64_t ValueType::element_count() const {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

bool ValueType::is_static() const {
  if (kind != Kind::kTensor && kind != Kind::kState) return false;
  if (unknown_rank) return false;
  for (const int64_t extent : shape) {
    if (extent == kDynamicExtent) return false;
  }
  return true;
}

std::string ValueType::to_string() const {
  switch (kind) {
    case Kind::kTensor:
    case Kind::kState: {
      std::string text = "tensor<" + std::string(element_type_name(element)) + ", " +
                         (unknown_rank ? "?" : extents_to_string(shape)) + ">";
      return kind == Kind::kState ? "state<" + text + ">" : text;
    }
    case Kind::kList:
      return "list<" + members[0].to_string() + ", " +
             (list_length == kDynamicExtent ? "?" : std::to_string(list_length)) + ">";
    case Kind::kTuple:
    case Kind::kDictionary: {
      std::string text = kind == Kind::kTuple ? "tuple<" : "dict<";
      for (size_t i = 0; i < members.size(); ++i) {
        if (i != 0) text += ", ";
        text += members[i].to_string();
      }
      return text + ">";
    }
  }
  return "invalid";
}

int64_t Constant::integer_at(int64_t i) const {
  const std::byte* const bytes = data.data();
  switch (type.element) {
    case ElementType::kBool:
      return load<uint8_t>(bytes, i) != 0 ? 1 : 0;
    case ElementType::kUInt1:
    case ElementType::kUInt2:
    case ElementType::kUInt3:
    case ElementType::kUInt4:
    case ElementType::kUInt6:
      return load_packed(data, i, element_bits(type.element));
    case ElementType::kInt4: {
      const int64_t value = load_packed(data, i, 4);
      return value < 8 ? value : value - 16;
    }
    case ElementType::kInt8:
      return load<int8_t>(bytes, i);
    case ElementType::kInt16:
      return load<int16_t>(bytes, i);
    case ElementType::kInt32:
      return load<int32_t>(bytes, i);
    case ElementType::kInt64:
      return load<int64_t>(bytes, i);
    case ElementType::kUInt8:
      return load<uint8_t>(bytes, i);
    case ElementType::kUInt16:
      return load<uint16_t>(bytes, i);
    case ElementType::kUInt32:
      return load<uint32_t>(bytes, i);
    case ElementType::kUInt64:
      return static_cast<int64_t>(load<uint64_t>(bytes, i));
    default: {
      // Saturating, so that no float of a hostile program is undefined behaviour.
      const double value = real_at(i);
      if (!(value == value)) return 0;
      if (value >= 9223372036854775808.0) return std::numeric_limits<int64_t>::max();
      if (value < -9223372036854775808.0) return std::numeric_limits<int64_t>::min();
      return static_cast<int64_t>(value);
    }
  }
}

double Constant::real_at(int64_t i) const {
  const std::byte* const bytes = data.data();
  switch (type.element) {
    case ElementType::kFloat16:
      return half_to_float(load<uint16_t>(bytes, i));
    case ElementType::kFloat32:
      return load<float>(bytes, i);
    case ElementType::kFloat64:
      return load<double>(bytes, i);
    case ElementType::kBFloat16:
      return bfloat16_to_float(load<uint16_t>(bytes, i));
    case ElementType::kFloat8E4M3FN:
      return float8_e4m3fn_to_float(load<uint8_t>(bytes, i));
    case ElementType::kFloat8E5M2:
      return float8_e5m2_to_float(load<uint8_t>(bytes, i));
    case ElementType::kUInt64:
      return static_cast<double>(load<uint64_t>(bytes, i));
    case ElementType::kString:
    case ElementType::kInvalid:
      assert(false);
      return 0;
    default:
      return static_cast<double>(integer_at(i));
  }
}

}  // namespace coreml_delegate::model
