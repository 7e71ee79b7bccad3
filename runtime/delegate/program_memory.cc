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
  if (!data.ok())
    return unsupported(
        "the delegate call's bytes are in memory that this processor cannot address");
  if (data.get() == nullptr || buffer->size() == 0)
    return corrupt_data("the delegate call has no bytes");
  auto owner = std::make_shared<FreeableBuffer>(std::move(*buffer));
  const auto* bytes = static_cast<const std::byte*>(owner->data());
  return Bytes(ByteSpan(bytes, owner->size()), owner);
}

Bytes LoadedNamedData::find(const NamedDataMap* map, const std::string& key) {
  const MutexLock lock(mutex_);
  const auto found = loaded_.find({map, key});
  if (found == loaded_.end()) return Bytes();
  std::shared_ptr<const void> owner = found->second.owner.lock();
  if (owner == nullptr) return Bytes();
  return Bytes(found->second.span, std::move(owner));
}

void LoadedNamedData::add(const NamedDataMap* map, const std::string& key, const Bytes& bytes) {
  const MutexLock lock(mutex_);
  std::erase_if(loaded_, [](const auto& entry) { return entry.second.owner.expired(); });
  loaded_[{map, key}] = {bytes.span(), bytes.owner()};
}

blob::NamedDataLookup make_named_data_lookup(const NamedDataMap* map,
                                             std::shared_ptr<LoadedNamedData> of_programs) {
  if (map == nullptr) return nullptr;
  // Shared by copies of the function object.
  auto loaded = std::make_shared<std::map<std::string, Bytes>>();
  return
      [map, loaded, of_programs = std::move(of_programs)](const std::string& key) -> Result<Bytes> {
        const auto found = loaded->find(key);
        if (found != loaded->end()) return found->second;
        if (of_programs != nullptr) {
          Bytes bytes = of_programs->find(map, key);
          if (bytes.size() != 0) return (*loaded)[key] = std::move(bytes);
        }
        executorch::runtime::Result<FreeableBuffer> buffer = map->get_data(key);
        if (!buffer.ok()) {
          std::string reason = executorch::runtime::to_string(buffer.error());
          if (buffer.error() == Error::NotFound) {
            return not_found("the program's named data does not have this key", key);
          }
          return io_error("the program's named data could not be read: " + reason, key);
        }
        // An empty value is a file without bytes.
        if (buffer->size() == 0) return (*loaded)[key] = Bytes();
        Result<Bytes> bytes = take_buffer(&buffer.get());
        if (!bytes.ok())
          return bytes.status().annotate("the program's named data could not be used", key);
        if (of_programs != nullptr) of_programs->add(map, key, *bytes);
        return (*loaded)[key] = *std::move(bytes);
      };
}

}  // namespace coreml_delegate
