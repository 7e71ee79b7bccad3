#ifndef COREML_DELEGATE_RUNTIME_MODEL_WIRE_H_
#define COREML_DELEGATE_RUNTIME_MODEL_WIRE_H_

// The wire format of protobuf: the fields of one message, one after the other. Bytes may come from
// anywhere; nothing is read beyond them. Internal to runtime/model.

#include <cstdint>

#include "base/bytes.h"

namespace coreml_delegate::model {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t value = 0;  // Of kVarint, kFixed64 and kFixed32.
  ByteSpan bytes;      // Of kBytes: a string, a message, packed numbers.
};

// Thread rule: one thread at a time. Borrows the bytes.
class WireReader {
 public:
  explicit WireReader(ByteSpan bytes) : rest_(bytes) {}

  // The next field; groups, which no message here has, are passed over. False at the end and at
  // what is no field.
  bool next(WireField* field);
  // The next of packed numbers, which have no tags. False at the end and at what is none.
  bool next_varint(uint64_t* value) { return !rest_.empty() && read_varint(10, value); }
  bool next_fixed32(uint64_t* value) { return !rest_.empty() && read_fixed(4, value); }
  bool next_fixed64(uint64_t* value) { return !rest_.empty() && read_fixed(8, value); }

  // Whether what has been read is what there was: nothing but fields.
  bool at_end() const { return rest_.empty() && !malformed_; }

 private:
  bool read_varint(int most_bytes, uint64_t* value);
  bool read_fixed(size_t size, uint64_t* value);
  bool read_tag(uint32_t* number, uint32_t* type);
  bool read_content(uint32_t type, WireField* field);
  bool skip_group(uint32_t number);
  bool fail();

  ByteSpan rest_;
  bool malformed_ = false;
};

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_WIRE_H_
