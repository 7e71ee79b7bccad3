#include "runtime/engine/portable/shared_weights.h"

#include <memory>
#include <utility>

#include "base/file.h"
#include "base/mutex.h"
#include "base/sha256.h"

namespace coreml_delegate::engine::portable {
namespace {

// What keeps a shared weight's bytes alive; owned by all that use it.
struct Holder {
  Bytes bytes;
};

struct Registry {
  Mutex mutex;
  // By memory and digest.
  std::map<std::pair<std::string, std::string>, std::weak_ptr<const Holder>> holders
      COREML_DELEGATE_GUARDED_BY(mutex);
};

Registry& registry() {
  // Never destroyed: models may be let go while the process ends.
  static Registry& instance = *new Registry;
  return instance;
}

thread_local const Bytes* weight_file = nullptr;

}  // namespace

Bytes share_weight(const std::string& memory, const std::string& digest, const Bytes& bytes) {
  const std::pair<std::string, std::string> key(memory, digest);
  std::shared_ptr<const Holder> holder;
  bool is_new = false;
  {
    Registry& all = registry();
    const MutexLock lock(all.mutex);
    std::weak_ptr<const Holder>& known = all.holders[key];
    holder = known.lock();
    if (holder == nullptr || holder->bytes.size() != bytes.size()) {
      std::erase_if(all.holders, [&](const auto& entry) {
        return entry.first != key && entry.second.expired();
      });
      holder = std::make_shared<const Holder>(Holder{bytes});
      known = holder;
      is_new = true;
    }
  }
  if (!is_new && holder->bytes.data() != bytes.data()) release_pages(bytes);
  return Bytes(holder->bytes.span(), holder);
}

PlacedWeight WeightLayout::place(const Bytes& bytes) {
  const std::pair<const std::byte*, size_t> address = {bytes.data(), bytes.size()};
  const auto known = by_address_.find(address);
  if (known != by_address_.end()) return weights_[known->second];
  PlacedWeight weight;
  weight.digest = to_hex(sha256(bytes.span()));
  const auto equal = by_digest_.find(weight.digest);
  if (equal != by_digest_.end()) {
    by_address_.emplace(address, equal->second);
    return weights_[equal->second];
  }
  weight.bytes = share_weight(memory_, weight.digest, bytes);
  weight.offset = static_cast<int64_t>(size_);
  size_ += (bytes.size() + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
  by_address_.emplace(address, weights_.size());
  by_digest_.emplace(weight.digest, weights_.size());
  weights_.push_back(weight);
  return weight;
}

WeightFileScope::WeightFileScope(const Bytes& file) { weight_file = &file; }
WeightFileScope::~WeightFileScope() { weight_file = nullptr; }

Result<PlacedWeight> find_weight(int64_t offset, uint64_t size, const std::string& digest) {
  if (weight_file == nullptr) {
    return corrupt_data("a node of the graph has weights, but the folder has no file of weights");
  }
  if (offset < 0 || static_cast<uint64_t>(offset) > weight_file->size() ||
      size > weight_file->size() - static_cast<uint64_t>(offset)) {
    return corrupt_data("the weight of " + std::to_string(size) + " bytes at " +
                        std::to_string(offset) + " does not lie in the file of weights");
  }
  PlacedWeight weight;
  weight.bytes = share_weight({}, digest, weight_file->subspan(static_cast<size_t>(offset), size));
  weight.offset = offset;
  weight.digest = digest;
  return weight;
}

}  // namespace coreml_delegate::engine::portable
