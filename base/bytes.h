#ifndef COREML_DELEGATE_BASE_BYTES_H_
#define COREML_DELEGATE_BASE_BYTES_H_

// Read-only bytes and what keeps them alive.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace coreml_delegate {

using ByteSpan = std::span<const std::byte>;

inline ByteSpan as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A span with a share in the ownership of its memory (a mapped file, a FreeableBuffer, a vector).
// Copying shares, never copies bytes. Without an owner the caller promises that the memory outlives
// every copy.
//
// Thread rule: a value; the bytes are never written through it.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(ByteSpan span, std::shared_ptr<const void> owner = nullptr)
      : span_(span), owner_(std::move(owner)) {}

  ByteSpan span() const { return span_; }
  const std::byte* data() const { return span_.data(); }
  size_t size() const { return span_.size(); }
  const std::shared_ptr<const void>& owner() const { return owner_; }

  // The part of `length` bytes from `offset`, sharing the owner. Precondition: it lies within
  // size().
  Bytes subspan(size_t offset, size_t length) const {
    return Bytes(span_.subspan(offset, length), owner_);
  }

 private:
  ByteSpan span_;
  std::shared_ptr<const void> owner_;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_BYTES_H_
