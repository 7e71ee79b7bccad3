#ifndef COREML_DELEGATE_BLOB_BYTE_SINK_H_
#define COREML_DELEGATE_BLOB_BYTE_SINK_H_

// Where the writers of this folder stream their bytes.
//
// Thread rule: one thread at a time.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"

namespace coreml_delegate::blob {

// Calls `use` (Status(ByteSpan)) with the bytes, in pieces of a few MiB whose pages leave memory
// afterwards where they are of a mapped file. So one pass over a file of any size takes little
// memory.
template <typename Use>
Status for_each_piece(const Bytes& content, Use use) {
  constexpr size_t kPiece = size_t{4} << 20;
  for (size_t at = 0; at < content.size(); at += kPiece) {
    const Bytes piece = content.subspan(at, std::min(kPiece, content.size() - at));
    COREML_DELEGATE_RETURN_IF_ERROR(use(piece.span()));
    if (content.size() > kPiece) release_pages(piece);
  }
  return {};
}

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Takes the bytes that follow those before. They are the caller's again when it returns.
  virtual Status append(ByteSpan bytes) = 0;

  Status append_zeros(uint64_t count) {
    static constexpr std::array<std::byte, 4096> kZeros{};
    while (count > 0) {
      const size_t part = static_cast<size_t>(std::min<uint64_t>(count, kZeros.size()));
      COREML_DELEGATE_RETURN_IF_ERROR(append(ByteSpan(kZeros).first(part)));
      count -= part;
    }
    return {};
  }

  // A whole file, piece by piece: where it is mapped, its pages leave memory behind the piece.
  Status append_file(const Bytes& content) {
    return for_each_piece(content, [this](ByteSpan piece) { return append(piece); });
  }
};

// Into a file; neither synced nor closed.
class FileSink final : public ByteSink {
 public:
  // `file` must outlive this.
  explicit FileSink(WritableFile& file) : file_(file) {}
  Status append(ByteSpan bytes) override { return file_.append(bytes); }

 private:
  WritableFile& file_;
};

// Into a vector that grows; reserve it where the size is known.
class VectorSink final : public ByteSink {
 public:
  // `bytes` must outlive this.
  explicit VectorSink(std::vector<std::byte>& bytes) : bytes_(bytes) {}
  Status append(ByteSpan bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }

 private:
  std::vector<std::byte>& bytes_;
};

// Into memory of a size known before; more than fits is an internal_error.
class BufferSink final : public ByteSink {
 public:
  // The memory must outlive this.
  explicit BufferSink(std::span<std::byte> buffer) : rest_(buffer) {}
  Status append(ByteSpan bytes) override {
    if (bytes.size() > rest_.size()) {
      return internal_error("more bytes were written than announced");
    }
    if (!bytes.empty()) std::memcpy(rest_.data(), bytes.data(), bytes.size());
    rest_ = rest_.subspan(bytes.size());
    return {};
  }
  // Bytes not written yet.
  size_t remaining() const { return rest_.size(); }

 private:
  std::span<std::byte> rest_;
};

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_BYTE_SINK_H_
