#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_COMPILED_MODEL_PROVIDER_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_COMPILED_MODEL_PROVIDER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "blob/blob.h"
#include "runtime/assets/asset_store.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/helper/compile_helper.h"

namespace coreml_delegate {

// What a delegate call needs a model for. Everything is borrowed for the call.
struct ModelRequest {
  const blob::Blob* blob = nullptr;
  engine::Engine* engine = nullptr;
  // What is asked of the engine: the function, its options, and who watches.
  engine::LoadOptions options;
  // Whose memory the blob's bytes lie in: engine::ModelSource::memory.
  std::string memory = {};
  // Whether a model compiled for another program may be handed out when its content is proved
  // equal.
  bool share_across_programs = false;
  // Where compiled models are kept on disk; empty: nowhere. The rest as in AssetStoreOptions, 0 for
  // its default.
  std::string cache_dir;
  uint64_t cache_budget_bytes = 0;
  assets::Verification cache_verification = assets::Verification::kFirstUse;
  // What models are compiled in; its program empty: this process. A model that is loaded, or kept,
  // already is used whoever compiled it.
  engine::HelperProcess helper = {};
};

// Where loaded models come from: compiled here or in a helper process, or (a store) taken from
// disk.
//
// Thread rule: may be called from several threads at once.
class CompiledModelProvider {
 public:
  virtual ~CompiledModelProvider() = default;

  // A loaded model for the request; several callers may share it. A failure says which engine and
  // which model.
  virtual Result<std::shared_ptr<engine::Model>> load(const ModelRequest& request) = 0;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_COMPILED_MODEL_PROVIDER_H_
