#ifndef COREML_DELEGATE_BLOB_CONTENT_IDENTITY_H_
#define COREML_DELEGATE_BLOB_CONTENT_IDENTITY_H_

// The identity stream of docs/blob_format.md. It must never change for version 1 of the format:
// what was published under an identifier would be lost.

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/sha256.h"
#include "blob/blob.h"

namespace coreml_delegate::blob {

// SHA-256 of a file's content. Reads it in pieces, so that a mapped file does not become resident
// as a whole.
Sha256Digest hash_file(const Bytes& content);

// From what is stated; reads no file. Files, functions and states may be in any order.
Sha256Digest content_identity(Kind kind, int32_t specification_version,
                              const std::vector<FileRecord>& files,
                              const std::vector<Function>& functions);

// The stream that is hashed, for tests.
std::vector<std::byte> content_identity_stream(Kind kind, int32_t specification_version,
                                               const std::vector<FileRecord>& files,
                                               const std::vector<Function>& functions);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_CONTENT_IDENTITY_H_
