#ifndef COREML_DELEGATE_BASE_CHECKSUM_H_
#define COREML_DELEGATE_BASE_CHECKSUM_H_

// XXH64 with seed 0 (Yann Collet's public specification), streaming: finds damage at memory speed.
// Not for hostile input.

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace coreml_delegate {

// Thread rule: one thread at a time.
class Checksum {
 public:
  void update(ByteSpan bytes);
  // Of everything so far; more may follow.
  uint64_t value() const;

 private:
  std::array<uint64_t, 4> lanes_ = {0x60EA27EEADC0B5D6, 0xC2B2AE3D27D4EB4F, 0, 0x61C8864E7A143579};
  std::array<std::byte, 32> buffer_{};
  uint64_t length_ = 0;
};

inline uint64_t checksum(ByteSpan bytes) {
  Checksum sum;
  sum.update(bytes);
  return sum.value();
}

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_CHECKSUM_H_
