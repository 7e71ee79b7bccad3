#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_STORED_MODELS_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_STORED_MODELS_H_

// Loads models through the store on disk (runtime/assets) that a request names, and without one
// where it names none or the store has no use.
//
// An identifier in a blob is a claim. It is enough to look an entry up: what is found was published
// for that very identifier. It is not enough to publish: before a model is compiled into the store,
// its content is hashed and compared, so that no program can put anything under another's name. A
// stock payload has no identifier and is hashed at every load.
//
// Thread rule: everything may be called from several threads at once.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/mutex.h"
#include "base/sha256.h"
#include "base/status.h"
#include "runtime/assets/asset_store.h"
#include "runtime/delegate/compiled_model_provider.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

class StoredModels {
 public:
  // A model that holds its lease on the store as long as it lives. `planned` is what the engine
  // made of the request's options; `content` is the SHA-256 of the blob's content where the caller
  // has hashed it already.
  Result<std::shared_ptr<engine::Model>> load(const ModelRequest& request,
                                              const engine::ModelSource& source,
                                              const engine::CompileRequest& planned,
                                              const std::optional<Sha256Digest>& content = {});

  // The store that loads of this folder use, opened when there is none yet. It lives as long as
  // this object.
  Result<assets::AssetStore*> store(const assets::AssetStoreOptions& options);
  // Those in use for the folder, each with other options; a new one, which evicts nothing by
  // itself, when there is none. Not empty.
  Result<std::vector<assets::AssetStore*>> stores(const std::string& folder);

 private:
  using Key = std::tuple<std::string, uint64_t, assets::Verification>;

  Result<std::shared_ptr<engine::Model>> load_stored(assets::AssetStore& store,
                                                     const ModelRequest& request,
                                                     const engine::ModelSource& source,
                                                     const engine::CompileRequest& planned,
                                                     std::optional<Sha256Digest> content);

  Mutex mutex_;
  std::map<Key, std::unique_ptr<assets::AssetStore>> stores_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_STORED_MODELS_H_
