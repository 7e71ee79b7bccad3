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

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "blob/blob.h"

namespace coreml_delegate {

// Takes the buffer over: `*buffer` is empty afterwards. corrupt_data when there are no bytes.
Result<Bytes> take_buffer(executorch::runtime::FreeableBuffer* buffer);

// What is in memory of the named data of loaded programs. A loader gives the bytes of a key anew
// each time it is asked, and each time it is memory: a copy, or pages of the file that may be locked.
// Methods of one program get the same bytes while one of them holds on to them.
//
// Thread rule: any thread. The lookups share the ownership of it.
class LoadedNamedData {
 public:
  // None where nothing holds on to them any more. A program is known by the address of its map.
  Bytes find(const executorch::runtime::NamedDataMap* map, const std::string& key);
  void add(const executorch::runtime::NamedDataMap* map, const std::string& key,
           const Bytes& bytes);

 private:
  struct Loaded {
    ByteSpan span;
    std::weak_ptr<const void> owner;
  };
  Mutex mutex_;
  std::map<std::pair<const void*, std::string>, Loaded> loaded_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

// Null for a null map, which is what a program without named data has. A key is loaded once per
// lookup object, however often it is asked for, and not at all where `loaded` has it; null: it has
// nothing.
blob::NamedDataLookup make_named_data_lookup(const executorch::runtime::NamedDataMap* map,
                                             std::shared_ptr<LoadedNamedData> loaded = nullptr);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_PROGRAM_MEMORY_H_
