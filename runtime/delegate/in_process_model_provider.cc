#include "runtime/delegate/in_process_model_provider.h"

#include <algorithm>
#include <utility>

namespace coreml_delegate {
namespace {

std::string describe(const ModelRequest& request) {
  // A stock payload has no identity until it is hashed.
  const std::string model = request.blob->content_id == Sha256Digest{}
                                ? "the stock payload's model"
                                : "model " + to_hex(request.blob->content_id).substr(0, 12);
  const std::string& function = request.options.function_name;
  return function.empty() ? model : "function " + function + " of " + model;
}

}  // namespace

Result<std::vector<InProcessModelProvider::Region>> InProcessModelProvider::regions_of(
    const blob::Blob& blob) {
  std::vector<Region> regions;
  COREML_DELEGATE_RETURN_IF_ERROR(blob.files.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& metadata, const Bytes& content) {
        if (metadata.kind == inmemoryfs::NodeKind::kFile) {
          regions.push_back({std::string(path), content.data(), content.size(), content.owner()});
        }
        return Status();
      }));
  return regions;
}

bool InProcessModelProvider::is_same_memory(const std::vector<Region>& loaded,
                                            const std::vector<Region>& asked) {
  return std::equal(loaded.begin(), loaded.end(), asked.begin(), asked.end(),
                    [](const Region& a, const Region& b) {
                      if (a.path != b.path || a.size != b.size) return false;
                      if (a.size == 0) return true;
                      // An address says something only while what lay there has not been given
                      // back.
                      return a.data == b.data && !a.owner.expired();
                    });
}

std::shared_ptr<InProcessModelProvider::Entry> InProcessModelProvider::find_locked(
    const Entry& wanted) {
  std::erase_if(entries_, [](const std::shared_ptr<Entry>& entry) {
    return !entry->is_loading && entry->model.expired();
  });
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->key != wanted.key) continue;
    const bool same_content =
        wanted.verified_content && entry->verified_content == wanted.verified_content;
    if (same_content) return entry;
    if (is_same_memory(entry->regions, wanted.regions)) {
      // What was hashed is what the entry was made of.
      if (!entry->verified_content) entry->verified_content = wanted.verified_content;
      return entry;
    }
  }
  return nullptr;
}

// Whoever waits for the entry would wait for ever if an exception left it loading.
class InProcessModelProvider::Loading {
 public:
  Loading(InProcessModelProvider& provider, std::shared_ptr<Entry> entry)
      : provider_(provider), entry_(std::move(entry)) {}
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;
  ~Loading() {
    {
      const MutexLock lock(provider_.mutex_);
      entry_->is_loading = false;
      if (entry_->model.expired()) provider_.entries_.remove(entry_);
    }
    provider_.loaded_.notify_all();
  }
  void succeed(const std::shared_ptr<engine::Model>& model) {
    const MutexLock lock(provider_.mutex_);
    entry_->model = model;
  }

 private:
  InProcessModelProvider& provider_;
  const std::shared_ptr<Entry> entry_;
};

Result<std::shared_ptr<engine::Model>> InProcessModelProvider::load(const ModelRequest& request) {
  const engine::ModelSource source{
      .kind = request.blob->kind == blob::Kind::kCompiled ? engine::ModelKind::kCompiled
                                                          : engine::ModelKind::kPackage,
      .files = &request.blob->files,
      .name = describe(request),
      .memory = request.memory,
  };
  COREML_DELEGATE_ASSIGN_OR_RETURN(const engine::CompileRequest planned,
                                   request.engine->plan(source, request.options));
  auto entry = std::make_shared<Entry>();
  entry->key = {request.engine, planned.text, planned.load_text, request.blob->kind};
  COREML_DELEGATE_ASSIGN_OR_RETURN(entry->regions, regions_of(*request.blob));
  std::optional<Sha256Digest> verified_content;
  if (request.share_across_programs) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(verified_content, blob::verify_content(*request.blob));
    entry->verified_content = verified_content;
  }
  {
    const MutexLock lock(mutex_);
    while (const std::shared_ptr<Entry> existing = find_locked(*entry)) {
      if (existing->is_loading) {
        // Its loader's failure need not be ours: then the entry is gone and this thread loads.
        loaded_.wait(mutex_);
        continue;
      }
      if (std::shared_ptr<engine::Model> model = existing->model.lock()) return model;
    }
    entries_.push_back(entry);
  }
  Loading loading(*this, entry);
  Result<std::shared_ptr<engine::Model>> model =
      stored_models_.load(request, source, planned, verified_content);
  if (!model.ok()) {
    return model.status().annotate(
        "the engine " + std::string(request.engine->name()) + " could not load the model",
        source.name);
  }
  loading.succeed(*model);
  return *std::move(model);
}

size_t InProcessModelProvider::live_models() const {
  const MutexLock lock(mutex_);
  return static_cast<size_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const std::shared_ptr<Entry>& entry) {
        return entry->is_loading || !entry->model.expired();
      }));
}

}  // namespace coreml_delegate
