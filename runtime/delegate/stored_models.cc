#include "runtime/delegate/stored_models.h"

#include <chrono>
#include <utility>

#include "base/logging.h"
#include "blob/blob.h"
#include "runtime/assets/asset_key.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/helper/compile_helper.h"

namespace coreml_delegate {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

engine::Controls controls_of(const ModelRequest& request) {
  return {.cancellation = request.options.cancellation, .events = request.options.events};
}

Result<std::shared_ptr<engine::Model>> load_source(const ModelRequest& request,
                                                   const engine::ModelSource& source,
                                                   const engine::CompileRequest& planned) {
  Result<std::unique_ptr<engine::Model>> model =
      request.helper.program.empty()
          ? request.engine->load_source(source, planned, controls_of(request))
          : engine::load_source_in_helper(request.helper, *request.engine, source, planned,
                                          controls_of(request));
  if (!model.ok()) return model.status();
  return std::shared_ptr<engine::Model>(*std::move(model));
}

// Whether a failed load says that the folder is not usable, for which it is removed and compiled
// again. That memory or file handles ran out says nothing about it; nor does a failure of the
// engine's library with a folder that this process has just written.
bool may_be_damaged(const Status& failure, bool is_first_use) {
  switch (failure.code()) {
    case StatusCode::kCorruptData:
    case StatusCode::kFailedPrecondition:
      return true;
    case StatusCode::kEngineFailure:
      return !is_first_use;
    default:
      return false;
  }
}

// The lease is declared first, so that it goes last.
struct LeasedModel {
  std::shared_ptr<assets::Lease> lease;
  std::unique_ptr<engine::Model> model;
};

}  // namespace

Result<assets::AssetStore*> StoredModels::store(const assets::AssetStoreOptions& options) {
  const MutexLock lock(mutex_);
  std::unique_ptr<assets::AssetStore>& store =
      stores_[{options.folder, options.budget_bytes, options.verification}];
  if (store == nullptr) {
    Result<std::unique_ptr<assets::AssetStore>> opened = assets::AssetStore::open(options);
    if (!opened.ok()) return opened.status();
    store = *std::move(opened);
  }
  return store.get();
}

Result<std::vector<assets::AssetStore*>> StoredModels::stores(const std::string& folder) {
  std::vector<assets::AssetStore*> found;
  {
    const MutexLock lock(mutex_);
    for (const auto& [key, store] : stores_) {
      if (std::get<0>(key) == folder && store != nullptr) found.push_back(store.get());
    }
  }
  if (found.empty()) {
    assets::AssetStoreOptions options;
    options.folder = folder;
    // Whoever uses the folder has a budget of its own.
    options.budget_bytes = UINT64_MAX;
    COREML_DELEGATE_ASSIGN_OR_RETURN(assets::AssetStore* const opened, store(options));
    found.push_back(opened);
  }
  return found;
}

Result<std::shared_ptr<engine::Model>> StoredModels::load(
    const ModelRequest& request, const engine::ModelSource& source,
    const engine::CompileRequest& planned, const std::optional<Sha256Digest>& content) {
  const engine::EventSink* const events = request.options.events;
  // An .mlmodelc is compiled already. Intermediate values may be lost in a compiled folder.
  if (request.cache_dir.empty() || source.kind == engine::ModelKind::kCompiled ||
      (events != nullptr && events->wants_intermediate_values())) {
    return load_source(request, source, planned);
  }
  assets::AssetStoreOptions options;
  options.folder = request.cache_dir;
  if (request.cache_budget_bytes != 0) options.budget_bytes = request.cache_budget_bytes;
  options.verification = request.cache_verification;
  COREML_DELEGATE_ASSIGN_OR_RETURN(assets::AssetStore* const opened, store(options));
  return load_stored(*opened, request, source, planned, content);
}

Result<std::shared_ptr<engine::Model>> StoredModels::load_stored(
    assets::AssetStore& store, const ModelRequest& request, const engine::ModelSource& source,
    const engine::CompileRequest& planned, std::optional<Sha256Digest> content) {
  const Clock::time_point start = Clock::now();
  if (!content && request.blob->content_id == Sha256Digest{}) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(content, blob::verify_content(*request.blob));
  }
  // Without a hash there is a claim, which is enough to look up and not to publish.
  const assets::AssetKey key{.content = content.value_or(request.blob->content_id),
                             .request = planned.text,
                             .attributes = planned.attributes};
  const auto compile = [&](const std::string& folder) -> Status {
    if (!content) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(content, blob::verify_content(*request.blob));
    }
    if (*content != key.content) {
      return corrupt_data("the blob's identifier does not belong to its content", source.name);
    }
    if (request.helper.program.empty()) {
      return request.engine->compile(source, folder, planned, controls_of(request));
    }
    return engine::compile_in_helper(request.helper, *request.engine, source, folder, planned,
                                     controls_of(request));
  };
  // Twice: an entry that the engine finds damaged is compiled again.
  for (int attempt = 0; attempt < 2; ++attempt) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(assets::Acquired acquired, store.acquire(key, compile));
    if (acquired.lease == nullptr) break;
    Result<std::unique_ptr<engine::Model>> model =
        request.engine->load(acquired.lease->folder(), planned, controls_of(request));
    if (model.ok()) {
      const char* from = acquired.source == assets::Source::kHit        ? "from the store"
                         : acquired.source == assets::Source::kCompiled ? "after compiling"
                                                                        : "compiled, not kept";
      COREML_DELEGATE_LOG(kInfo, "%s: loaded %s in %.1f ms", source.name.c_str(), from,
                          ms_since(start));
      const auto leased =
          std::make_shared<LeasedModel>(LeasedModel{std::move(acquired.lease), *std::move(model)});
      return std::shared_ptr<engine::Model>(leased, leased->model.get());
    }
    const bool is_first_use = acquired.source != assets::Source::kHit;
    if (!may_be_damaged(model.status(), is_first_use)) {
      // An engine that fails with what it has just compiled may still run the model itself. For the
      // rest the store is not to blame, and a compilation needs more than a load.
      if (model.status().code() == StatusCode::kEngineFailure) break;
      return model.status();
    }
    const Status reported = store.report_damaged(std::move(acquired.lease), model.status());
    if (!reported.ok()) break;
  }
  Result<std::shared_ptr<engine::Model>> model = load_source(request, source, planned);
  if (model.ok()) {
    COREML_DELEGATE_LOG(kInfo, "%s: loaded without the store in %.1f ms", source.name.c_str(),
                        ms_since(start));
  }
  return model;
}

}  // namespace coreml_delegate
