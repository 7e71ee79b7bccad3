#include "runtime/assets/asset_store.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "base/logging.h"
#include "base/utf8.h"

namespace coreml_delegate::assets {
namespace {

std::chrono::microseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               start);
}

double as_ms(std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1000; }

// What the store itself may be at fault for; a compiler says other things.
bool is_storage_failure(const Status& status) {
  return status.code() == StatusCode::kResourceExhausted || status.code() == StatusCode::kIoError ||
         status.code() == StatusCode::kAlreadyExists;
}

std::string megabytes(uint64_t bytes) {
  return std::to_string(bytes / 1'000'000) + "." + std::to_string(bytes / 100'000 % 10) + " MB";
}

std::string value_of(const Attributes& attributes, const std::string& name) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? std::string() : found->second;
}

bool is_text(const AssetKey& key) {
  if (!is_valid_utf8(key.request)) return false;
  return std::all_of(key.attributes.begin(), key.attributes.end(), [](const auto& attribute) {
    return is_valid_utf8(attribute.first) && is_valid_utf8(attribute.second);
  });
}

}  // namespace

Result<Manifest> AssetStore::read_manifest(const std::string& entry_folder) const {
  const std::string path = join_path(entry_folder, kManifestFile);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes bytes, files_.map(path, Links::kRefuse));
  Result<Manifest> manifest = parse_manifest(as_text(bytes.span()));
  if (!manifest.ok())
    return manifest.status().annotate("cannot read the manifest of an entry", path);
  return manifest;
}

Status AssetStore::check_content(const std::string& name, const Manifest& manifest) {
  const std::string folder = join_path(layout_.entry(name), kContentFolder);
  VerifyDepth depth = VerifyDepth::kSizes;
  if (options_.verification == Verification::kFull) depth = VerifyDepth::kFull;
  if (options_.verification == Verification::kSampled) depth = VerifyDepth::kSample;
  {
    const MutexLock lock(mutex_);
    if (distrusted_.contains(manifest.nonce)) {
      return corrupt_data("an engine has reported that the entry is damaged", folder);
    }
    if (options_.verification == Verification::kFirstUse && !verified_.contains(manifest.nonce)) {
      depth = VerifyDepth::kFull;
    }
  }
  COREML_DELEGATE_RETURN_IF_ERROR(verify_folder(files_, folder, manifest, depth));
  if (depth == VerifyDepth::kFull) {
    const MutexLock lock(mutex_);
    verified_.insert(manifest.nonce);
  }
  return {};
}

AssetStore::Opened AssetStore::open_entry(const AssetKey& key, const std::string& name) {
  const std::string folder = layout_.entry(name);
  const auto damaged = [](const Status& status) {
    // A process that is out of file handles has not found damage.
    const bool is_damage = status.code() == StatusCode::kCorruptData ||
                           status.code() == StatusCode::kNotFound ||
                           status.code() == StatusCode::kInvalidArgument;
    return Opened{.lease = nullptr, .why = status.to_string(), .is_damaged = is_damage};
  };
  Result<std::unique_ptr<FileLock>> lock =
      files_.try_lock(join_path(folder, kLeaseFile), LockMode::kShared, MissingLock::kRefuse);
  if (!lock.ok()) {
    if (lock.status().code() != StatusCode::kNotFound) {
      return {.lease = nullptr, .why = lock.status().to_string(), .is_damaged = false};
    }
    if (files_.info(folder).ok())
      return damaged(corrupt_data("the entry has no file for its lease", folder));
    return {.lease = nullptr, .why = {}, .is_damaged = false};
  }
  const Result<Manifest> manifest = read_manifest(folder);
  if (!manifest.ok()) return damaged(manifest.status());
  if (manifest->key != key) {
    return damaged(corrupt_data("the entry's manifest belongs to another model", folder));
  }
  const Status content = check_content(name, *manifest);
  if (!content.ok()) return damaged(content);
  return {.lease = std::make_shared<Lease>(files_, folder, name, manifest->nonce, Source::kHit,
                                           *std::move(lock)),
          .why = {},
          .is_damaged = false};
}

std::string AssetStore::miss_reason(const AssetKey& key) {
  const Result<std::vector<IndexEntry>> entries = index_->list();
  if (!entries.ok()) return "there is no entry";
  const std::string content = to_hex(key.content);
  std::optional<std::vector<std::string>> fewest;
  for (const IndexEntry& entry : *entries) {
    if (entry.content != content) continue;
    std::vector<std::string> differences;
    Attributes either = entry.attributes;
    either.insert(key.attributes.begin(), key.attributes.end());
    for (const auto& [name, unused] : either) {
      const std::string there = value_of(entry.attributes, name);
      const std::string here = value_of(key.attributes, name);
      if (there == here) continue;
      differences.push_back(name + " \"" + there + "\", but here it is \"" + here + "\"");
    }
    if (!fewest || differences.size() < fewest->size()) fewest = std::move(differences);
  }
  if (!fewest) return "the model was never compiled here";
  std::string reason;
  for (const std::string& difference : *fewest) {
    reason += (reason.empty() ? "it was compiled for the " : "; for the ") + difference;
  }
  return reason.empty() ? "it was compiled for another request" : reason;
}

void AssetStore::log_once(const std::string& topic, const std::string& text) {
  {
    const MutexLock lock(mutex_);
    if (!logged_.insert(topic).second) return;
  }
  COREML_DELEGATE_LOG(kWarning, "store of compiled models %s: %s (said once)",
                      options_.folder.c_str(), text.c_str());
}

Acquired AssetStore::uncached(std::string why, const std::string& topic) {
  ++uncached_;
  log_once(topic, "this model is loaded without it: " + why);
  Acquired acquired;
  acquired.source = Source::kPrivate;
  acquired.why = std::move(why);
  return acquired;
}

Result<Acquired> AssetStore::acquire(const AssetKey& key, const Compile& compile) {
  const Clock::time_point start = Clock::now();
  const std::string name = key.name();
  {
    const MutexLock lock(mutex_);
    current_[value_of(key.attributes, kEngineAttribute)] =
        value_of(key.attributes, kFingerprintAttribute);
  }
  // A manifest is JSON, which has no other text.
  if (!is_text(key)) return uncached("the text that identifies the model is not UTF-8", "utf8");
  if (mode_ == Mode::kOff) return uncached(mode_reason_, "off");
  if (mode_ == Mode::kPrivate) return compile_private(key, compile, mode_reason_);

  const auto hit = [&](const Opened& opened, std::chrono::microseconds waited) {
    ++hits_;
    const Status touched = index_->touch(name);
    if (!touched.ok()) log_once("index", touched.to_string());
    COREML_DELEGATE_LOG(kInfo, "compiled model %.12s: hit in %.2f ms", name.c_str(),
                        as_ms(since(start)));
    Acquired acquired;
    acquired.lease = opened.lease;
    acquired.waited = waited;
    return acquired;
  };
  Opened opened = open_entry(key, name);
  if (opened.lease != nullptr) return hit(opened, {});
  ++misses_;
  if (mode_ == Mode::kReadOnly) {
    return uncached(
        opened.why.empty() ? "the store is read-only, and has no entry for the model" : opened.why,
        "read-only");
  }

  std::optional<KeyLock> key_lock;
  std::chrono::milliseconds pause{1};
  while (!key_lock) {
    Result<KeyLock> lock = KeyLock::acquire(files_, layout_.lock(name));
    if (lock.ok()) {
      key_lock.emplace(*std::move(lock));
      break;
    }
    if (lock.status().code() == StatusCode::kUnsupported) {
      return compile_private(key, compile, lock.status().to_string());
    }
    if (lock.status().code() != StatusCode::kFailedPrecondition) {
      return uncached(lock.status().to_string(), "lock");
    }
    if (Clock::now() - start >= options_.wait_for_compile) {
      return uncached(
          "another process or thread is compiling the model, and has taken longer than " +
              std::to_string(options_.wait_for_compile.count()) + " ms",
          "wait");
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(50));
  }
  const std::chrono::microseconds waited = since(start);

  // Again, now that nobody else can publish it: whoever was waited for has.
  opened = open_entry(key, name);
  if (opened.lease != nullptr) return hit(opened, waited);
  if (opened.is_damaged) {
    ++damaged_;
    COREML_DELEGATE_LOG(kWarning, "compiled model %.12s is damaged, and is compiled again: %s",
                        name.c_str(), opened.why.c_str());
    const Status removed = remove_locked(name);
    if (!removed.ok()) {
      return uncached("the damaged entry " + name + " cannot be removed: " + removed.to_string(),
                      "damaged " + name);
    }
  }
  std::string why = opened.why.empty() ? miss_reason(key) : opened.why;
  Result<Acquired> acquired = compile_and_publish(key, name, compile, std::move(why));
  if (acquired.ok()) acquired->waited = waited;
  return acquired;
}

Result<Acquired> AssetStore::compile_and_publish(const AssetKey& key, const std::string& name,
                                                 const Compile& compile, std::string why) {
  if (!make_room({.bytes = options_.budget_bytes, .free_bytes = options_.free_floor_bytes}, name)
           .ok() ||
      free_bytes() < options_.free_floor_bytes) {
    return uncached("the volume has less than " + megabytes(options_.free_floor_bytes) +
                        " free; free some disk space, or lower free_floor_bytes",
                    "full");
  }
  const std::string staging = join_path(layout_.staging, name);
  const std::string content = join_path(staging, kContentFolder);
  const auto prepare = [&]() -> Status {
    COREML_DELEGATE_RETURN_IF_ERROR(files_.remove_tree(staging));
    COREML_DELEGATE_RETURN_IF_ERROR(files_.make_directory(staging));
    return files_.make_directory(content);
  };
  if (const Status prepared = prepare(); !prepared.ok()) {
    return uncached(prepared.to_string(), "staging");
  }

  const Clock::time_point start = Clock::now();
  const Status compiled = compile(content);
  ++compilations_;
  const std::chrono::microseconds took = since(start);
  if (!compiled.ok()) {
    (void)files_.remove_tree(staging);
    if (is_storage_failure(compiled)) return uncached(compiled.to_string(), "full");
    return compiled;
  }
  COREML_DELEGATE_LOG(kInfo, "compiled model %.12s: miss (%s), compiled in %.1f ms", name.c_str(),
                      why.c_str(), as_ms(took));

  Acquired acquired;
  acquired.source = Source::kCompiled;
  acquired.why = std::move(why);
  acquired.compiled = took;
  Result<std::shared_ptr<Lease>> lease = seal(key, staging, Source::kCompiled, acquired.bytes);
  if (!lease.ok()) {
    (void)files_.remove_tree(staging);
    return uncached(lease.status().to_string(), "seal");
  }

  const bool fits_alone = acquired.bytes <= options_.budget_bytes;
  const Limits limits{.bytes = fits_alone ? options_.budget_bytes - acquired.bytes : 0,
                      .free_bytes = options_.free_floor_bytes};
  if (!fits_alone || !make_room(limits, name).ok() || !fits(limits)) {
    const std::string reason = !fits_alone ? "the compiled model (" + megabytes(acquired.bytes) +
                                                 ") is larger than the budget (" +
                                                 megabytes(options_.budget_bytes) + ")"
                                           : "there is no room for the compiled model, because "
                                             "everything else in the store is in use";
    log_once("room " + name, reason + "; the compiled model is not kept");
    const std::string private_folder =
        join_path(layout_.private_folders, name.substr(0, 16) + "." + (*lease)->nonce());
    // Its lock is held already, so that no sweep takes it.
    const Status moved = files_.rename(staging, private_folder);
    if (!moved.ok()) {
      lease = std::shared_ptr<Lease>();
      (void)files_.remove_tree(staging);
      return uncached(moved.to_string(), "private");
    }
    acquired.lease = (*lease)->moved_to(private_folder);
    acquired.source = Source::kPrivate;
    acquired.why += "; " + reason;
    return acquired;
  }
  if (const Status published = publish(staging, name); !published.ok()) {
    lease = std::shared_ptr<Lease>();
    (void)files_.remove_tree(staging);
    return uncached(published.to_string(), "publish");
  }
  acquired.lease = *std::move(lease);
  {
    // This process has just written and hashed it.
    const MutexLock lock(mutex_);
    verified_.insert(acquired.lease->nonce());
  }
  const Result<Manifest> manifest = read_manifest(layout_.entry(name));
  const Status indexed =
      manifest.ok() ? index_->put(index_entry(name, *manifest)) : manifest.status();
  // A later opening adds it.
  if (!indexed.ok()) log_once("index", indexed.to_string());
  return acquired;
}

Result<std::shared_ptr<Lease>> AssetStore::seal(const AssetKey& key, const std::string& folder,
                                                Source source, uint64_t& bytes) {
  Manifest manifest{.key = key, .nonce = make_nonce(), .created_ms = now_ms(), .files = {}};
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      manifest.files, measure_folder(files_, join_path(folder, kContentFolder), /*sync=*/true));
  if (manifest.files.empty()) {
    return invalid_argument("the engine compiled the model, but wrote no files", folder);
  }
  // Before anybody can see the entry, so that nobody takes it away in between.
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      std::unique_ptr<FileLock> lock,
      files_.try_lock(join_path(folder, kLeaseFile), LockMode::kShared, MissingLock::kCreate));
  COREML_DELEGATE_RETURN_IF_ERROR(write_file(files_, join_path(folder, kManifestFile),
                                             as_bytes(to_text(manifest)), Durability::kSynced));
  COREML_DELEGATE_RETURN_IF_ERROR(files_.sync_directory(folder));
  bytes = manifest.total_bytes();
  const std::string name = key.name();
  return std::make_shared<Lease>(files_, layout_.entry(name), name, manifest.nonce, source,
                                 std::move(lock));
}

Status AssetStore::publish(const std::string& staging, const std::string& name) {
  COREML_DELEGATE_RETURN_IF_ERROR(files_.rename(staging, layout_.entry(name)));
  const Status synced = files_.sync_directory(layout_.entries);
  // Readers may have it already, and it is whole; after a loss of power it may be gone.
  if (!synced.ok()) log_once("sync", synced.to_string());
  return {};
}

Result<Acquired> AssetStore::compile_private(const AssetKey& key, const Compile& compile,
                                             std::string why) {
  ++misses_;
  log_once("private", "compiled models are kept for this process only: " + why);
  Result<std::string> folder =
      files_.make_unique_directory(layout_.private_folders, kUnlockedPrefix);
  if (!folder.ok()) return uncached(folder.status().to_string(), "private");
  const std::string name = key.name();
  // From here on it is removed with the lease.
  auto lease = std::make_shared<Lease>(files_, *folder, name, "", Source::kPrivate, nullptr);
  const Status made = files_.make_directory(lease->folder());
  if (!made.ok()) return uncached(made.to_string(), "private");
  const Clock::time_point start = Clock::now();
  const Status compiled = compile(lease->folder());
  ++compilations_;
  if (!compiled.ok()) {
    if (is_storage_failure(compiled)) return uncached(compiled.to_string(), "private");
    return compiled;
  }
  Acquired acquired;
  acquired.lease = std::move(lease);
  acquired.source = Source::kPrivate;
  acquired.why = std::move(why);
  acquired.compiled = since(start);
  return acquired;
}

Status AssetStore::report_damaged(std::shared_ptr<Lease> lease, const Status& why) {
  if (lease == nullptr || lease->source() == Source::kPrivate) return {};
  const std::string name = lease->name();
  const std::string nonce = lease->nonce();
  lease = nullptr;
  ++damaged_;
  {
    const MutexLock lock(mutex_);
    distrusted_.insert(nonce);
    verified_.erase(nonce);
  }
  COREML_DELEGATE_LOG(kWarning, "compiled model %.12s is reported as damaged: %s", name.c_str(),
                      why.to_string().c_str());
  if (mode_ != Mode::kReadWrite) return failed_precondition("the store is read-only", name);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const KeyLock lock,
                                   KeyLock::acquire(files_, layout_.lock(name)));
  const Result<Manifest> manifest = read_manifest(layout_.entry(name));
  // Somebody has replaced it already.
  if (manifest.ok() && manifest->nonce != nonce) return {};
  return remove_locked(name);
}

}  // namespace coreml_delegate::assets
