#ifndef COREML_DELEGATE_BLOB_COREML_BLOB_READER_H_
#define COREML_DELEGATE_BLOB_COREML_BLOB_READER_H_

// The reader of our own format. blob.h's open_delegate_call and open_coreml_blob are what callers
// use.

#include <string>
#include <variant>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/blob.h"

namespace coreml_delegate::blob {

// Whether the bytes carry the file identifier of our format.
bool has_coreml_blob_identifier(ByteSpan bytes);

// Where a delegate call's blob is: a key of the program's named data.
struct BlobReference {
  std::string named_data_key;
  std::string function_name;
};

// Whether the content identifier that a blob claims is compared with the one its table leads to.
// kSkip is for fuzzing, where no random change would get past it.
enum class IdentityCheck { kCompare, kSkip };

// A whole blob, or a reference. Files are neither copied nor read.
Result<std::variant<Blob, BlobReference>> read_coreml_blob(
    const Bytes& bytes, const NamedDataLookup& named_data,
    IdentityCheck identity = IdentityCheck::kCompare);

// Whether the bytes begin with a table that may be read through the accessors generated from
// schema/coreml_blob.fbs: no offset or size in it leads outside of it, and what is required is
// there. For readers in other languages, whose FlatBuffers cannot tell. Corrupt data where not;
// what the table says is not looked at.
Status verify_coreml_blob_table(const Bytes& bytes);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_COREML_BLOB_READER_H_
