#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_IN_PROCESS_MODEL_PROVIDER_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_IN_PROCESS_MODEL_PROVIDER_H_

// Models of this process: loaded from the store on disk where the request names one
// (stored_models.h), else compiled here and kept nowhere. They are shared while somebody uses them;
// two threads that ask for one model at once load it once.
//
// Who shares with whom. A model may use weights where they lie in the program's memory, and an
// identifier in a blob is only a claim. So a request is given a loaded model of the same engine,
// and of options that mean the same to it (Engine::plan), when
//   - both blobs are the same bytes in memory, as when two methods of one program refer to one
//     blob, or a method is loaded twice from a program that was loaded into one buffer. Equality is
//     certain, and each user keeps that memory alive; or
//   - both asked to share across programs (the option share_models) and their content was hashed
//     and is equal. Costs a SHA-256 over the blob at each load. The memory of the program that was
//     loaded first must then outlive the last user: it does when the program came from a file
//     (FileDataLoader, MmapDataLoader), for what those load is owned by whoever uses it.

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/sha256.h"
#include "runtime/delegate/compiled_model_provider.h"
#include "runtime/delegate/stored_models.h"

namespace coreml_delegate {

class InProcessModelProvider : public CompiledModelProvider {
 public:
  Result<std::shared_ptr<engine::Model>> load(const ModelRequest& request) override;

  // Models somebody uses now.
  size_t live_models() const;

  StoredModels& stored_models() { return stored_models_; }

 private:
  // A file of a blob where it lies.
  struct Region {
    std::string path;
    const std::byte* data = nullptr;
    size_t size = 0;
    std::weak_ptr<const void> owner;
  };
  struct Key {
    const engine::Engine* engine = nullptr;
    // What the engine says a loaded model depends on: engine::CompileRequest.
    std::string request;
    std::string load_request;
    blob::Kind kind = blob::Kind::kPackage;
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    Key key;
    std::vector<Region> regions;
    std::optional<Sha256Digest> verified_content;
    bool is_loading = true;
    std::weak_ptr<engine::Model> model;
  };

  static Result<std::vector<Region>> regions_of(const blob::Blob& blob);
  static bool is_same_memory(const std::vector<Region>& loaded, const std::vector<Region>& asked);
  // The end of an entry's loading, whichever way it ends.
  class Loading;

  // An entry that may serve, loading ones included; drops those nobody uses.
  std::shared_ptr<Entry> find_locked(const Entry& wanted) COREML_DELEGATE_REQUIRES(mutex_);

  StoredModels stored_models_;
  mutable Mutex mutex_;
  ConditionVariable loaded_;
  std::list<std::shared_ptr<Entry>> entries_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_IN_PROCESS_MODEL_PROVIDER_H_
