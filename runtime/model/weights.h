#ifndef COREML_DELEGATE_RUNTIME_MODEL_WEIGHTS_H_
#define COREML_DELEGATE_RUNTIME_MODEL_WEIGHTS_H_

// The weight file of a package (MILBlob storage, version 2): a 64-byte header, then 64-byte records
// that each describe a blob of raw elements. A program refers to a record by its offset in the
// file.
//
//   header   u32 count, u32 version = 2, 56 bytes reserved
//   record   u32 sentinel = 0xDEADBEEF, u32 element type, u64 size in bytes,
//            u64 offset of the data in the file,
//            u64 unused bits at the end of the data (types below 8 bits), 32 bytes reserved

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "runtime/model/program.h"

namespace coreml_delegate::model {

// The data of the record at `offset` of the weight file `file`, which must hold exactly `count`
// elements of `type`. Borrowed. Every failure is corrupt_data naming `file_name` and the offset.
Result<Bytes> read_weight(const Bytes& file, const std::string& file_name, uint64_t offset,
                          ElementType type, int64_t count);

// Bytes that `count` elements take when packed; false when the number does not fit.
bool packed_size(ElementType type, int64_t count, uint64_t* bytes);

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_WEIGHTS_H_
