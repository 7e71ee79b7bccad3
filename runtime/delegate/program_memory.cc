#include "runtime/delegate/program_memory.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

namespace coreml_delegate {

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::NamedDataMap;

Result<Bytes> take_buffer(FreeableBuffer* buffer) {
  if (buffer == nullptr) return corrupt_data("the delegate call has no processed bytes");
  const executorch::runtime::Result<const void*> data = buffer->data_safe();
  if (!data.ok()) return unsupported("the bytes are in memory that this processor cannot address");
  if (data.get() == nullptr || buffer->size() == 0) return corrupt_data("there are no bytes");
  auto owner = std::make_shared<FreeableBuffer>(std::move(*buffer));
  const auto* bytes = static_cast<const std::byte*>(owner->data());
  return Bytes(ByteSpan(bytes, owner->size()), owner);
}

blob::NamedDataLookup make_named_data_lookup(const NamedDataMap* map) {
  if (map == nullptr) return nullptr;
  // Shared by copies of the function object.
  auto loaded = std::make_shared<std::map<std::string, Bytes>>();
  return [map, loaded](const std::string& key) -> Result<Bytes> {
    const auto found = loaded->find(key);
    if (found != loaded->end()) return found->second;
    executorch::runtime::Result<FreeableBuffer> buffer = map->get_data(key);
    if (!buffer.ok()) {
      std::string reason = executorch::runtime::to_string(buffer.error());
      if (buffer.error() == Error::NotFound) {
        return not_found("the program's named data has no such key", key);
      }
      return io_error("the program's named data could not be read: " + reason, key);
    }
    // An empty value is a file without bytes.
    if (buffer->size() == 0) return (*loaded)[key] = Bytes();
    Result<Bytes> bytes = take_buffer(&buffer.get());
    if (!bytes.ok())
      return bytes.status().annotate("the program's named data could not be used", key);
    return (*loaded)[key] = *std::move(bytes);
  };
}

}  // namespace coreml_delegate
