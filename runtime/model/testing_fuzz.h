#ifndef COREML_DELEGATE_RUNTIME_MODEL_TESTING_FUZZ_H_
#define COREML_DELEGATE_RUNTIME_MODEL_TESTING_FUZZ_H_

// A package of which a fuzzer chooses the specification and the weight file: a four-byte
// little-endian size, that many bytes of model.mlmodel, and the rest is weight.bin.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::model::testing {

// Of bytes that must outlive it; nothing for less than a size.
inline std::optional<inmemoryfs::InMemoryFileSystem> fuzzed_package(const uint8_t* data,
                                                                    size_t size) {
  static constexpr std::string_view kManifest =
      R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "A",
  "itemInfoEntries": {"A": {"path": "com.apple.CoreML/model.mlmodel"}}})";
  if (size < 4) return std::nullopt;
  uint32_t specification_size;
  std::memcpy(&specification_size, data, 4);
  if (specification_size > size - 4) specification_size = static_cast<uint32_t>(size - 4);
  const ByteSpan bytes(reinterpret_cast<const std::byte*>(data + 4), size - 4);

  inmemoryfs::InMemoryFileSystem files;
  if (!files.add_file("Manifest.json", Bytes(as_bytes(kManifest))).ok() ||
      !files.add_file("Data/com.apple.CoreML/model.mlmodel", Bytes(bytes.first(specification_size)))
           .ok() ||
      !files
           .add_file("Data/com.apple.CoreML/weights/weight.bin",
                     Bytes(bytes.subspan(specification_size)))
           .ok()) {
    __builtin_trap();
  }
  return files;
}

}  // namespace coreml_delegate::model::testing

#endif  // COREML_DELEGATE_RUNTIME_MODEL_TESTING_FUZZ_H_
