#include "runtime/model/weights.h"

#include <cstring>

namespace coreml_delegate::model {

namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kHeaderBytes = 64;
constexpr uint64_t kRecordBytes = 64;
constexpr uint32_t kVersion = 2;
constexpr uint32_t kSentinel = 0xDEADBEEF;

uint32_t read_u32(const Bytes& bytes, uint64_t offset) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}
uint64_t read_u64(const Bytes& bytes, uint64_t offset) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

// MILBlob's numbers; kInvalid for one it does not define.
ElementType storage_element_type(uint32_t number) {
  switch (number) {
    case 1:
      return ElementType::kFloat16;
    case 2:
      return ElementType::kFloat32;
    case 3:
      return ElementType::kUInt8;
    case 4:
      return ElementType::kInt8;
    case 5:
      return ElementType::kBFloat16;
    case 6:
      return ElementType::kInt16;
    case 7:
      return ElementType::kUInt16;
    case 8:
      return ElementType::kInt4;
    case 9:
      return ElementType::kUInt1;
    case 10:
      return ElementType::kUInt2;
    case 11:
      return ElementType::kUInt4;
    case 12:
      return ElementType::kUInt3;
    case 13:
      return ElementType::kUInt6;
    case 14:
      return ElementType::kInt32;
    case 15:
      return ElementType::kUInt32;
    case 16:
      return ElementType::kFloat8E4M3FN;
    case 17:
      return ElementType::kFloat8E5M2;
    default:
      return ElementType::kInvalid;
  }
}

}  // namespace

bool packed_size(ElementType type, int64_t count, uint64_t* bytes) {
  uint64_t bits;
  if (count < 0 || __builtin_mul_overflow(static_cast<uint64_t>(count),
                                          static_cast<uint64_t>(element_bits(type)), &bits)) {
    return false;
  }
  *bytes = bits / 8 + (bits % 8 != 0 ? 1 : 0);
  return true;
}

Result<Bytes> read_weight(const Bytes& file, const std::string& file_name, uint64_t offset,
                          ElementType type, int64_t count) {
  const auto corrupt = [&](const std::string& what) {
    return corrupt_data("weight at offset " + std::to_string(offset) + ": " + what, file_name);
  };
  if (file.size() < kHeaderBytes) {
    return corrupt_data("the weight file has " + std::to_string(file.size()) +
                            " bytes, which is less than its header of 64",
                        file_name);
  }
  if (const uint32_t version = read_u32(file, 4); version != kVersion) {
    return corrupt_data(
        "the weight file has version " + std::to_string(version) + "; only version 2 is defined",
        file_name);
  }
  if (offset < kHeaderBytes || offset % kAlignment != 0) {
    return corrupt("the record does not start at a multiple of 64 behind the header");
  }
  if (offset > file.size() || file.size() - offset < kRecordBytes) {
    return corrupt("the record lies outside the file of " + std::to_string(file.size()) + " bytes");
  }
  if (read_u32(file, offset) != kSentinel)
    return corrupt("there is no record, because the sentinel is wrong");
  const uint32_t number = read_u32(file, offset + 4);
  const uint64_t size = read_u64(file, offset + 8);
  const uint64_t start = read_u64(file, offset + 16);
  const uint64_t padding_bits = read_u64(file, offset + 24);

  const ElementType stored = storage_element_type(number);
  if (stored != type) {
    return corrupt("the record's element type is " +
                   (stored == ElementType::kInvalid ? "unknown (" + std::to_string(number) + ")"
                                                    : std::string(element_type_name(stored))) +
                   ", but the program says " + std::string(element_type_name(type)));
  }
  uint64_t expected;
  if (!packed_size(type, count, &expected) || size != expected) {
    return corrupt("the record has " + std::to_string(size) + " bytes, but the program's " +
                   std::to_string(count) + " elements of " + std::string(element_type_name(type)) +
                   " take another number");
  }
  const uint64_t used_in_last_byte =
      static_cast<uint64_t>(count) % 8 * static_cast<uint64_t>(element_bits(type)) % 8;
  const uint64_t expected_padding = used_in_last_byte == 0 ? 0 : 8 - used_in_last_byte;
  if (element_bits(type) < 8 && padding_bits != expected_padding) {
    return corrupt("the record declares " + std::to_string(padding_bits) +
                   " unused bits instead of " + std::to_string(expected_padding));
  }
  if (start % kAlignment != 0 || start < kHeaderBytes) {
    return corrupt("the record's data starts at " + std::to_string(start) +
                   ", which is not a multiple of 64 behind the header");
  }
  if (start > file.size() || file.size() - start < size) {
    return corrupt("the record's data of " + std::to_string(size) + " bytes at " +
                   std::to_string(start) + " lies outside the file of " +
                   std::to_string(file.size()) + " bytes");
  }
  return file.subspan(start, size);
}

}  // namespace coreml_delegate::model
