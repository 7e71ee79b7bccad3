#include "runtime/model/wire.h"

#include <cstring>
#include <vector>

namespace coreml_delegate::model {

namespace {

constexpr uint32_t kStartGroup = 3;
constexpr uint32_t kEndGroup = 4;
constexpr size_t kMaxGroups = 64;

}  // namespace

bool WireReader::fail() {
  malformed_ = true;
  return false;
}

bool WireReader::read_varint(int most_bytes, uint64_t* value) {
  *value = 0;
  for (int i = 0; i < most_bytes && static_cast<size_t>(i) < rest_.size(); ++i) {
    const auto byte = static_cast<uint64_t>(rest_[static_cast<size_t>(i)]);
    // Of the tenth byte one bit is left; what else it has is dropped, as protobuf does.
    *value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      rest_ = rest_.subspan(static_cast<size_t>(i) + 1);
      return true;
    }
  }
  return fail();
}

bool WireReader::read_fixed(size_t size, uint64_t* value) {
  if (rest_.size() < size) return fail();
  *value = 0;
  // Little-endian, as every system that this is built for.
  std::memcpy(value, rest_.data(), size);
  rest_ = rest_.subspan(size);
  return true;
}

bool WireReader::read_tag(uint32_t* number, uint32_t* type) {
  uint64_t tag;
  if (!read_varint(5, &tag)) return false;
  if (tag > UINT32_MAX || tag >> 3 == 0) return fail();
  *number = static_cast<uint32_t>(tag >> 3);
  *type = static_cast<uint32_t>(tag & 7);
  return true;
}

bool WireReader::read_content(uint32_t type, WireField* field) {
  switch (type) {
    case static_cast<uint32_t>(WireType::kVarint):
      field->type = WireType::kVarint;
      return read_varint(10, &field->value);
    case static_cast<uint32_t>(WireType::kFixed64):
      field->type = WireType::kFixed64;
      return read_fixed(8, &field->value);
    case static_cast<uint32_t>(WireType::kFixed32):
      field->type = WireType::kFixed32;
      return read_fixed(4, &field->value);
    case static_cast<uint32_t>(WireType::kBytes): {
      uint64_t size;
      if (!read_varint(5, &size)) return false;
      if (size > rest_.size()) return fail();
      field->type = WireType::kBytes;
      field->bytes = rest_.first(size);
      rest_ = rest_.subspan(size);
      return true;
    }
    default:
      return fail();
  }
}

bool WireReader::skip_group(uint32_t number) {
  std::vector<uint32_t> open{number};
  while (!open.empty()) {
    uint32_t type;
    if (rest_.empty()) return fail();
    if (!read_tag(&number, &type)) return false;
    if (type == kStartGroup) {
      if (open.size() == kMaxGroups) return fail();
      open.push_back(number);
    } else if (type == kEndGroup) {
      if (open.back() != number) return fail();
      open.pop_back();
    } else {
      WireField ignored;
      if (!read_content(type, &ignored)) return false;
    }
  }
  return true;
}

bool WireReader::next(WireField* field) {
  while (!rest_.empty()) {
    uint32_t type;
    if (!read_tag(&field->number, &type)) return false;
    if (type != kStartGroup) return read_content(type, field);
    if (!skip_group(field->number)) return false;
  }
  return false;
}

}  // namespace coreml_delegate::model
