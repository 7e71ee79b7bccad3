#include "base/testing_memory_files.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

namespace coreml_delegate {
namespace {

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (start <= path.size()) {
    const size_t slash = std::min(path.find('/', start), path.size());
    if (slash > start) parts.push_back(path.substr(start, slash - start));
    start = slash + 1;
  }
  return parts;
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

class InMemoryFiles::Writer final : public WritableFile {
 public:
  Writer(InMemoryFiles& files, NodeId node, std::string path)
      : files_(files), node_(node), path_(std::move(path)) {}

  Status append(ByteSpan bytes) override {
    if (closed_)
      return failed_precondition("nothing can be appended to a file that was closed", path_);
    const MutexLock lock(files_.mutex_);
    Node& node = files_.nodes_[node_];
    auto grown = std::make_shared<std::vector<std::byte>>(*node.content);
    grown->insert(grown->end(), bytes.begin(), bytes.end());
    node.content = std::move(grown);
    node.modified_ns = now_ns();
    return {};
  }
  Status patch(uint64_t offset, ByteSpan bytes) override {
    if (closed_) return failed_precondition("a file that was closed cannot be changed", path_);
    const MutexLock lock(files_.mutex_);
    Node& node = files_.nodes_[node_];
    if (offset > node.content->size() || bytes.size() > node.content->size() - offset) {
      return invalid_argument("the patch reaches beyond the bytes that were written", path_);
    }
    auto changed = std::make_shared<std::vector<std::byte>>(*node.content);
    std::copy(bytes.begin(), bytes.end(), changed->begin() + static_cast<ptrdiff_t>(offset));
    node.content = std::move(changed);
    node.modified_ns = now_ns();
    // What lies behind may have reached the disk or not: nothing from here on is certain.
    node.synced_bytes = std::min<size_t>(node.synced_bytes, offset);
    return {};
  }
  Status sync() override {
    if (closed_) return failed_precondition("a file that was closed cannot be synchronised", path_);
    const MutexLock lock(files_.mutex_);
    Node& node = files_.nodes_[node_];
    node.synced_bytes = node.content->size();
    return {};
  }
  Status close() override {
    if (closed_) return failed_precondition("the file was already closed", path_);
    closed_ = true;
    return {};
  }

 private:
  InMemoryFiles& files_;
  const NodeId node_;
  const std::string path_;
  bool closed_ = false;
};

class InMemoryFiles::Lock final : public FileLock {
 public:
  Lock(InMemoryFiles& files, std::shared_ptr<LockState> state, std::string path, LockMode mode)
      : files_(files), state_(std::move(state)), path_(std::move(path)), mode_(mode) {}
  ~Lock() override {
    const MutexLock lock(files_.mutex_);
    if (mode_ == LockMode::kExclusive) {
      state_->exclusive = false;
    } else {
      --state_->shared;
    }
  }
  Status remove_file() override {
    if (mode_ != LockMode::kExclusive)
      return failed_precondition("the lock is shared, and this needs an exclusive one", path_);
    return files_.remove_file(path_);
  }

 private:
  InMemoryFiles& files_;
  const std::shared_ptr<LockState> state_;
  const std::string path_;
  const LockMode mode_;
};

InMemoryFiles::InMemoryFiles() {
  nodes_[kRoot].kind = FileKind::kDirectory;
  safe_entries_[kRoot] = {};
}

Result<InMemoryFiles::NodeId> InMemoryFiles::find(const std::string& path) const {
  NodeId at = kRoot;
  for (const std::string& name : components(path)) {
    const Node& folder = nodes_.at(at);
    if (folder.kind != FileKind::kDirectory)
      return io_error("the path is not below a folder", path);
    const auto found = folder.entries.find(name);
    if (found == folder.entries.end()) return not_found("there is no such file or folder", path);
    at = found->second;
  }
  return at;
}

Result<InMemoryFiles::Place> InMemoryFiles::place(const std::string& path) const {
  std::vector<std::string> parts = components(path);
  if (parts.empty()) return invalid_argument("the root is not an entry of a folder", path);
  std::string parent;
  for (size_t i = 0; i + 1 < parts.size(); ++i) parent += "/" + parts[i];
  COREML_DELEGATE_ASSIGN_OR_RETURN(const NodeId folder, find(parent));
  if (nodes_.at(folder).kind != FileKind::kDirectory)
    return io_error("the path is not a folder", parent);
  return Place{folder, parts.back()};
}

InMemoryFiles::NodeId InMemoryFiles::entry(const Place& place) const {
  const auto& entries = nodes_.at(place.folder).entries;
  const auto found = entries.find(place.name);
  return found == entries.end() ? 0 : found->second;
}

void InMemoryFiles::apply(const Change& change, std::map<NodeId, Node>& nodes) {
  if (change.from != 0) {
    auto& entries = nodes[change.from].entries;
    const auto found = entries.find(change.from_name);
    if (found != entries.end() && found->second == change.node) entries.erase(found);
  }
  if (change.to != 0) nodes[change.to].entries[change.to_name] = change.node;
}

void InMemoryFiles::change(Change change) {
  apply(change, nodes_);
  changes_.push_back(std::move(change));
}

Result<InMemoryFiles::NodeId> InMemoryFiles::add(const std::string& path, FileKind kind) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Place where, place(path));
  if (entry(where) != 0) return already_exists("something with this name already exists", path);
  const NodeId id = next_node_++;
  Node& node = nodes_[id];
  node.kind = kind;
  node.modified_ns = now_ns();
  if (kind == FileKind::kFile) node.content = std::make_shared<const std::vector<std::byte>>();
  change({.node = id, .from = 0, .from_name = {}, .to = where.folder, .to_name = where.name});
  return id;
}

Result<FileInfo> InMemoryFiles::info(const std::string& path) const {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const NodeId id, find(path));
  const Node& node = nodes_.at(id);
  return FileInfo{.kind = node.kind,
                  .size = node.content == nullptr ? 0 : node.content->size(),
                  .modified_ns = node.modified_ns};
}

Result<std::vector<DirectoryEntry>> InMemoryFiles::list(const std::string& path) const {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const NodeId id, find(path));
  if (nodes_.at(id).kind != FileKind::kDirectory) return io_error("the path is not a folder", path);
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, child] : nodes_.at(id).entries) {
    entries.push_back({name, nodes_.at(child).kind});
  }
  return entries;
}

Result<Bytes> InMemoryFiles::map(const std::string& path, Links /*links*/) const {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const NodeId id, find(path));
  const Node& node = nodes_.at(id);
  if (node.kind == FileKind::kSymbolicLink) {
    return invalid_argument("the path is a symbolic link, and links are not followed here", path);
  }
  if (node.kind != FileKind::kFile) return invalid_argument("the path is not a regular file", path);
  return Bytes(ByteSpan(*node.content), node.content);
}

Result<std::unique_ptr<WritableFile>> InMemoryFiles::create(const std::string& path) {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const NodeId id, add(path, FileKind::kFile));
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(*this, id, path));
}

Status InMemoryFiles::make_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  return add(path, FileKind::kDirectory).status();
}

Result<std::string> InMemoryFiles::make_unique_directory(const std::string& parent,
                                                         const std::string& prefix) {
  for (;;) {
    std::string path;
    {
      const MutexLock lock(mutex_);
      path = join_path(parent, prefix + std::to_string(unique_++));
    }
    const Status made = make_directory(path);
    if (made.ok()) return path;
    if (made.code() != StatusCode::kAlreadyExists) return made;
  }
}

Status InMemoryFiles::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Place source, place(from));
  const NodeId id = entry(source);
  if (id == 0) return not_found("there is no such file or folder", from);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Place target, place(to));
  const bool is_directory = nodes_.at(id).kind == FileKind::kDirectory;
  if (is_directory && (entry(target) == id || is_at_or_below(target.folder, id))) {
    return io_error("a folder cannot be moved below itself", from);
  }
  if (const NodeId there = entry(target); there != 0) {
    if (is_directory) return already_exists("something with this name already exists", to);
    if (nodes_.at(there).kind == FileKind::kDirectory) return io_error("the path is a folder", to);
  }
  change({.node = id,
          .from = source.folder,
          .from_name = source.name,
          .to = target.folder,
          .to_name = target.name});
  return {};
}

Status InMemoryFiles::remove_file(const std::string& path) {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Place where, place(path));
  const NodeId id = entry(where);
  if (id == 0) return not_found("there is no such file", path);
  if (nodes_.at(id).kind == FileKind::kDirectory) return io_error("the path is a folder", path);
  change({.node = id, .from = where.folder, .from_name = where.name, .to = 0, .to_name = {}});
  return {};
}

void InMemoryFiles::remove_below(NodeId folder) {
  const std::map<std::string, NodeId> entries = nodes_.at(folder).entries;
  for (const auto& [name, child] : entries) {
    if (nodes_.at(child).kind == FileKind::kDirectory) remove_below(child);
    change({.node = child, .from = folder, .from_name = name, .to = 0, .to_name = {}});
  }
}

Status InMemoryFiles::remove_tree(const std::string& path) {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Place where, place(path));
  const NodeId id = entry(where);
  if (id == 0) return {};
  if (nodes_.at(id).kind != FileKind::kDirectory) return io_error("the path is not a folder", path);
  remove_below(id);
  change({.node = id, .from = where.folder, .from_name = where.name, .to = 0, .to_name = {}});
  return {};
}

Status InMemoryFiles::sync_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const NodeId id, find(path));
  if (nodes_.at(id).kind != FileKind::kDirectory) return io_error("the path is not a folder", path);
  for (Change& change : changes_) {
    // A rename is safe with the folder that it leads to; being atomic, it leaves the other then.
    if (change.to == id || (change.to == 0 && change.from == id)) change.is_synced = true;
  }
  return {};
}

Status InMemoryFiles::sync_file(const std::string& path) {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const NodeId id, find(path));
  Node& node = nodes_.at(id);
  if (node.kind != FileKind::kFile) return io_error("the path is not a regular file", path);
  node.synced_bytes = node.content->size();
  return {};
}

Result<std::unique_ptr<FileLock>> InMemoryFiles::try_lock(const std::string& path, LockMode mode,
                                                          MissingLock missing) {
  const MutexLock lock(mutex_);
  Result<NodeId> id = find(path);
  if (!id.ok()) {
    if (id.status().code() != StatusCode::kNotFound || missing == MissingLock::kRefuse) {
      return id.status();
    }
    id = add(path, FileKind::kFile);
    if (!id.ok()) return id.status();
  }
  if (nodes_.at(*id).kind != FileKind::kFile)
    return io_error("the path is not a regular file", path);
  const std::shared_ptr<LockState> state = nodes_.at(*id).lock;
  if (state->exclusive || (mode == LockMode::kExclusive && state->shared > 0)) {
    return failed_precondition("another process or thread has locked the file", path);
  }
  if (mode == LockMode::kExclusive) {
    state->exclusive = true;
  } else {
    ++state->shared;
  }
  return std::unique_ptr<FileLock>(std::make_unique<Lock>(*this, state, path, mode));
}

Result<SpaceInfo> InMemoryFiles::space(const std::string& path) const {
  const MutexLock lock(mutex_);
  COREML_DELEGATE_RETURN_IF_ERROR(find(path).status());
  return SpaceInfo{.free_bytes = free_space_, .total_bytes = uint64_t{1} << 50};
}

void InMemoryFiles::set_free_space(uint64_t bytes) {
  const MutexLock lock(mutex_);
  free_space_ = bytes;
}

void InMemoryFiles::list_below(NodeId folder, const std::string& path,
                               std::vector<std::string>& paths) const {
  for (const auto& [name, child] : nodes_.at(folder).entries) {
    const std::string below = path + "/" + name;
    paths.push_back(below);
    list_below(child, below, paths);
  }
}

std::vector<std::string> InMemoryFiles::paths() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> paths;
  list_below(kRoot, "", paths);
  std::sort(paths.begin(), paths.end());
  return paths;
}

void InMemoryFiles::put(const std::string& path, FileKind kind, const std::string& content) {
  const ByteSpan bytes = as_bytes(content);
  const MutexLock lock(mutex_);
  const Result<Place> where = place(path);
  if (!where.ok()) std::abort();  // A mistake of the test's.
  if (const NodeId there = entry(*where); there != 0) {
    change(
        {.node = there, .from = where->folder, .from_name = where->name, .to = 0, .to_name = {}});
  }
  const Result<NodeId> id = add(path, kind);
  if (!id.ok()) std::abort();
  nodes_.at(*id).content =
      std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
}

bool InMemoryFiles::is_at_or_below(NodeId node, NodeId folder) const {
  if (node == folder) return true;
  for (const auto& [name, child] : nodes_.at(folder).entries) {
    if (is_at_or_below(node, child)) return true;
  }
  return false;
}

void InMemoryFiles::lose_power(uint64_t seed) {
  const MutexLock lock(mutex_);
  std::mt19937_64 random(seed);
  // How much of what was not synced reaches the disk differs from case to case: all, none, some.
  const uint64_t survival_percent = random() % 5 * 25;
  const auto survives = [&] { return random() % 100 < survival_percent; };

  for (auto& [id, node] : nodes_) {
    node.entries = safe_entries_[id];
    // Their holders are gone.
    node.lock = std::make_shared<LockState>();
    if (node.content == nullptr || node.synced_bytes == node.content->size() || survives()) {
      continue;
    }
    ++losses_.files_torn;
    std::vector<std::byte> torn(*node.content);
    const size_t kept = node.synced_bytes + random() % (torn.size() - node.synced_bytes);
    if (random() % 2 == 0) {
      torn.resize(kept);
    } else {
      // The size reached the disk, the blocks did not.
      std::fill(torn.begin() + static_cast<ptrdiff_t>(kept), torn.end(), std::byte{0});
    }
    node.content = std::make_shared<const std::vector<std::byte>>(std::move(torn));
  }
  for (const Change& change : changes_) {
    if (change.is_synced || survives()) {
      apply(change, nodes_);
    } else {
      ++losses_.entries_dropped;
    }
  }
  changes_.clear();
  safe_entries_.clear();
  for (auto& [id, node] : nodes_) {
    safe_entries_[id] = node.entries;
    if (node.content != nullptr) node.synced_bytes = node.content->size();
  }
}

InMemoryFiles::Losses InMemoryFiles::losses() const {
  const MutexLock lock(mutex_);
  return losses_;
}

}  // namespace coreml_delegate
