#ifndef COREML_DELEGATE_RUNTIME_ASSETS_LEASE_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_LEASE_H_

#include <memory>
#include <string>
#include <utility>

#include "base/file.h"

namespace coreml_delegate::assets {

// Where an acquired folder came from.
enum class Source {
  kHit,       // It was there.
  kCompiled,  // Compiled now, and kept.
  kPrivate,   // Compiled now, for this lease alone.
};

// The right to use a compiled folder: nobody removes or changes it while the lease lives.
//
// Thread rule: immutable; may be destroyed on any thread.
class Lease {
 public:
  // `lock` is on the entry's lease file; null where there are no locks. A private folder is removed
  // with its lease.
  Lease(FileSystem& files, std::string entry_folder, std::string name, std::string nonce,
        Source source, std::unique_ptr<FileLock> lock)
      : files_(files),
        entry_folder_(std::move(entry_folder)),
        folder_(join_path(entry_folder_, "content")),
        name_(std::move(name)),
        nonce_(std::move(nonce)),
        source_(source),
        lock_(std::move(lock)) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    if (source_ == Source::kPrivate) (void)files_.remove_tree(entry_folder_);
  }

  // The same lock for an entry that was renamed, now private. This lease must not be used again.
  std::shared_ptr<Lease> moved_to(const std::string& private_folder) {
    return std::make_shared<Lease>(files_, private_folder, name_, nonce_, Source::kPrivate,
                                   std::move(lock_));
  }

  // What the engine compiled. Read-only.
  const std::string& folder() const { return folder_; }
  // AssetKey::name().
  const std::string& name() const { return name_; }
  const std::string& nonce() const { return nonce_; }
  Source source() const { return source_; }

 private:
  FileSystem& files_;
  const std::string entry_folder_;
  const std::string folder_;
  const std::string name_;
  const std::string nonce_;
  const Source source_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_LEASE_H_
