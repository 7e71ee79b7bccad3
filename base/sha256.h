#ifndef COREML_DELEGATE_BASE_SHA256_H_
#define COREML_DELEGATE_BASE_SHA256_H_

// SHA-256 (FIPS 180-4), streaming.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace coreml_delegate {

using Sha256Digest = std::array<uint8_t, 32>;

// Thread rule: one thread at a time.
class Sha256 {
 public:
  // kFastest takes the processor's SHA instructions where it has them; the digest is the same.
  enum class Implementation { kFastest, kPortable };

  explicit Sha256(Implementation implementation = Implementation::kFastest);
  void update(ByteSpan bytes);
  // Ends the computation; the object must not be used afterwards.
  Sha256Digest finish();

 private:
  void (*compress_)(uint32_t* state, const std::byte* blocks, size_t count);
  std::array<uint32_t, 8> state_;
  std::array<std::byte, 64> buffer_;
  uint64_t length_ = 0;  // Bytes so far.
};

Sha256Digest sha256(ByteSpan bytes);

// 64 lower-case hexadecimal digits.
std::string to_hex(const Sha256Digest& digest);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_SHA256_H_
