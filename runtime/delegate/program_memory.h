#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_PROGRAM_MEMORY_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_PROGRAM_MEMORY_H_

// ExecuTorch's buffers as Bytes that own them: the processed bytes of a delegate call and the
// program's named data. They are given back to their loader when the last Bytes goes: an engine
// that uses weights in place keeps them, one that copied them lets go after loading.
//
// Thread rule: functions; a lookup is used by one thread at a time and not after the NamedDataMap
// is gone. The Bytes are free of that.

#include <executorch/runtime/core/freeable_buffer.h>
#include <executorch/runtime/core/named_data_map.h>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/blob.h"

namespace coreml_delegate {

// Takes the buffer over: `*buffer` is empty afterwards. corrupt_data when there are no bytes.
Result<Bytes> take_buffer(executorch::runtime::FreeableBuffer* buffer);

// Null for a null map, which is what a program without named data has. A key is loaded once per
// lookup object, however often it is asked for.
blob::NamedDataLookup make_named_data_lookup(const executorch::runtime::NamedDataMap* map);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_PROGRAM_MEMORY_H_
