#ifndef COREML_DELEGATE_BLOB_RULES_H_
#define COREML_DELEGATE_BLOB_RULES_H_

// The rules of docs/blob_format.md that the reader and the writer of our blob share. `code` is that
// of the failure: corrupt_data for the reader, invalid_argument for the writer.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "blob/blob.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {

inline constexpr uint16_t kMajorVersion = 1;
inline constexpr uint16_t kMinorVersion = 1;

inline constexpr uint32_t kDefaultAlignment = 64;
inline constexpr uint32_t kMaxAlignment = 65'536;
inline constexpr size_t kMaxFiles = 100'000;
inline constexpr size_t kMaxFunctions = 10'000;
inline constexpr size_t kMaxTensors = 65'536;  // In one list of one function.
inline constexpr size_t kMaxRank = 16;
inline constexpr size_t kMaxEnumeratedShapes = 1'024;
inline constexpr size_t kMaxNameBytes = 4'096;
inline constexpr uint64_t kMaxTotalNameBytes = uint64_t{64} << 20;
// The FlatBuffers library's own limit.
inline constexpr uint64_t kMaxTableBytes = (uint64_t{1} << 31) - 16;

// The smallest multiple of `alignment`, a power of two, that is at least `offset`. Precondition: no
// overflow.
constexpr uint64_t align_up(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) & ~(alignment - 1);
}

bool is_valid_alignment(uint64_t alignment);

// 1 to kMaxNameBytes bytes of UTF-8 without NUL. `what` says what it names.
Status check_name(std::string_view name, const std::string& what, StatusCode code);

// The functions of a blob against each other and against its files.
Status check_functions(const std::vector<Function>& functions,
                       const inmemoryfs::InMemoryFileSystem& files, StatusCode code);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_RULES_H_
