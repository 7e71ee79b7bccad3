#include "base/testing_file.h"

#include <chrono>
#include <utility>

namespace coreml_delegate {
namespace {

// Without slashes at its end; "" is the root.
std::string normalised(std::string path) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path;
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

bool is_below(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/';
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

// ---- InMemoryFiles

class InMemoryFiles::Lock final : public FileLock {
 public:
  Lock(InMemoryFiles& files, std::string path, std::shared_ptr<LockState> state, LockMode mode)
      : files_(files), path_(std::move(path)), state_(std::move(state)), mode_(mode) {}
  ~Lock() override {
    const std::lock_guard lock(files_.mutex_);
    if (mode_ == LockMode::kExclusive) {
      state_->exclusive = false;
    } else {
      --state_->shared;
    }
  }
  Status remove_file() override {
    if (mode_ != LockMode::kExclusive) return failed_precondition("the lock is shared", path_);
    return files_.remove_file(path_);
  }

 private:
  InMemoryFiles& files_;
  const std::string path_;
  const std::shared_ptr<LockState> state_;
  const LockMode mode_;
};

class InMemoryFiles::Writer final : public WritableFile {
 public:
  Writer(InMemoryFiles& files, std::string path) : files_(files), path_(std::move(path)) {}

  Status append(ByteSpan bytes) override {
    if (closed_) return failed_precondition("append after close", path_);
    content_.insert(content_.end(), bytes.begin(), bytes.end());
    publish();
    return {};
  }
  Status sync() override {
    return closed_ ? failed_precondition("sync after close", path_) : Status();
  }
  Status close() override {
    if (closed_) return failed_precondition("the file was closed before", path_);
    closed_ = true;
    return {};
  }

 private:
  // A file that was renamed or removed meanwhile is written to nowhere; no test needs more.
  void publish() {
    const std::lock_guard lock(files_.mutex_);
    const auto found = files_.nodes_.find(path_);
    if (found == files_.nodes_.end()) return;
    found->second.content = std::make_shared<const std::vector<std::byte>>(content_);
    found->second.modified_ns = now_ns();
  }

  InMemoryFiles& files_;
  const std::string path_;
  std::vector<std::byte> content_;
  bool closed_ = false;
};

const InMemoryFiles::Node* InMemoryFiles::find(const std::string& path) const {
  static const Node root{FileKind::kDirectory, nullptr, 0, nullptr};
  if (path.empty()) return &root;
  const auto found = nodes_.find(path);
  return found == nodes_.end() ? nullptr : &found->second;
}

Status InMemoryFiles::check_parent(const std::string& path) const {
  const Node* parent = find(parent_of(path));
  if (parent == nullptr) return not_found("the folder is not there", parent_of(path));
  if (parent->kind != FileKind::kDirectory) return io_error("is not a folder", parent_of(path));
  return {};
}

Result<FileInfo> InMemoryFiles::info(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const Node* node = find(normalised(path));
  if (node == nullptr) return not_found("no such file or folder", path);
  FileInfo result;
  result.kind = node->kind;
  if (node->kind == FileKind::kFile) result.size = node->content->size();
  result.modified_ns = node->modified_ns;
  return result;
}

Result<std::vector<DirectoryEntry>> InMemoryFiles::list(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const std::string directory = normalised(path);
  const Node* node = find(directory);
  if (node == nullptr) return not_found("no such folder", path);
  if (node->kind != FileKind::kDirectory) return io_error("is not a folder", path);
  // The map is sorted by path, which sorts the names of one folder too.
  std::vector<DirectoryEntry> entries;
  for (const auto& [candidate, entry] : nodes_) {
    if (parent_of(candidate) != directory) continue;
    entries.push_back({candidate.substr(candidate.rfind('/') + 1), entry.kind});
  }
  return entries;
}

Result<Bytes> InMemoryFiles::map(const std::string& path, Links /*links*/) const {
  const std::lock_guard lock(mutex_);
  const Node* node = find(normalised(path));
  if (node == nullptr) return not_found("no such file", path);
  if (node->kind == FileKind::kSymbolicLink) {
    return invalid_argument("is a symbolic link, which is not followed here", path);
  }
  if (node->kind != FileKind::kFile) return invalid_argument("is not a regular file", path);
  return Bytes(ByteSpan(*node->content), node->content);
}

Result<std::unique_ptr<WritableFile>> InMemoryFiles::create(const std::string& path) {
  const std::string normal = normalised(path);
  const std::lock_guard lock(mutex_);
  if (find(normal) != nullptr) return already_exists("there is something of that name", path);
  RETURN_IF_ERROR(check_parent(normal));
  nodes_[normal] = {FileKind::kFile, std::make_shared<const std::vector<std::byte>>(), now_ns(),
                    nullptr};
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(*this, normal));
}

Status InMemoryFiles::make_directory(const std::string& path) {
  const std::string normal = normalised(path);
  const std::lock_guard lock(mutex_);
  if (find(normal) != nullptr) return already_exists("there is something of that name", path);
  RETURN_IF_ERROR(check_parent(normal));
  nodes_[normal] = {FileKind::kDirectory, nullptr, now_ns(), nullptr};
  return {};
}

Result<std::string> InMemoryFiles::make_unique_directory(const std::string& parent,
                                                         const std::string& prefix) {
  std::string path;
  {
    const std::lock_guard lock(mutex_);
    do {
      path = join_path(parent, prefix + std::to_string(unique_++));
    } while (find(normalised(path)) != nullptr);
  }
  RETURN_IF_ERROR(make_directory(path));
  return path;
}

Status InMemoryFiles::rename(const std::string& from, const std::string& to) {
  const std::string source = normalised(from);
  const std::string target = normalised(to);
  const std::lock_guard lock(mutex_);
  const Node* node = find(source);
  if (node == nullptr || source.empty()) return not_found("no such file or folder", from);
  RETURN_IF_ERROR(check_parent(target));
  const bool is_directory = node->kind == FileKind::kDirectory;
  if (is_directory && (target == source || is_below(target, source))) {
    return io_error("a folder cannot be moved below itself", from);
  }
  if (const Node* there = find(target); there != nullptr) {
    if (is_directory) return already_exists("there is something of that name", to);
    if (there->kind == FileKind::kDirectory) return io_error("is a folder", to);
  }
  std::map<std::string, Node> moved;
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    if (it->first != source && !is_below(it->first, source)) {
      ++it;
      continue;
    }
    moved[target + it->first.substr(source.size())] = std::move(it->second);
    it = nodes_.erase(it);
  }
  for (auto& [path, value] : moved) nodes_[path] = std::move(value);
  return {};
}

Status InMemoryFiles::remove_file(const std::string& path) {
  const std::string normal = normalised(path);
  const std::lock_guard lock(mutex_);
  const Node* node = find(normal);
  if (node == nullptr) return not_found("no such file", path);
  if (node->kind == FileKind::kDirectory) return io_error("is a folder", path);
  nodes_.erase(normal);
  return {};
}

Status InMemoryFiles::remove_tree(const std::string& path) {
  const std::string normal = normalised(path);
  const std::lock_guard lock(mutex_);
  const Node* node = find(normal);
  if (node == nullptr) return {};
  if (node->kind != FileKind::kDirectory) return io_error("is not a folder", path);
  std::erase_if(nodes_, [&](const auto& entry) {
    return entry.first == normal || is_below(entry.first, normal);
  });
  return {};
}

Status InMemoryFiles::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const Node* node = find(normalised(path));
  if (node == nullptr) return not_found("no such folder", path);
  return node->kind == FileKind::kDirectory ? Status() : io_error("is not a folder", path);
}

std::vector<std::string> InMemoryFiles::paths() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, node] : nodes_) paths.push_back(path);
  return paths;
}

void InMemoryFiles::put(const std::string& path, FileKind kind, std::string content) {
  const ByteSpan bytes = as_bytes(content);
  const std::lock_guard lock(mutex_);
  nodes_[normalised(path)] = {
      kind, std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end()), now_ns(),
      nullptr};
}

Status InMemoryFiles::sync_file(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const Node* node = find(normalised(path));
  if (node == nullptr) return not_found("no such file", path);
  return node->kind == FileKind::kFile ? Status() : io_error("is not a regular file", path);
}

Result<std::unique_ptr<FileLock>> InMemoryFiles::try_lock(const std::string& path, LockMode mode,
                                                          MissingLock missing) {
  const std::string normal = normalised(path);
  const std::lock_guard lock(mutex_);
  auto found = nodes_.find(normal);
  if (found == nodes_.end()) {
    if (missing == MissingLock::kRefuse) return not_found("no such file", path);
    RETURN_IF_ERROR(check_parent(normal));
    found = nodes_.emplace(normal, Node{}).first;
    found->second.content = std::make_shared<const std::vector<std::byte>>();
  }
  if (found->second.kind != FileKind::kFile) return io_error("is not a regular file", path);
  std::shared_ptr<LockState>& state = found->second.lock;
  if (state == nullptr) state = std::make_shared<LockState>();
  if (state->exclusive || (mode == LockMode::kExclusive && state->shared > 0)) {
    return failed_precondition("somebody else has locked it", path);
  }
  if (mode == LockMode::kExclusive) {
    state->exclusive = true;
  } else {
    ++state->shared;
  }
  return std::unique_ptr<FileLock>(std::make_unique<Lock>(*this, normal, state, mode));
}

Result<SpaceInfo> InMemoryFiles::space(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  if (find(normalised(path)) == nullptr) return not_found("no such file or folder", path);
  return SpaceInfo{.free_bytes = free_space_, .total_bytes = uint64_t{1} << 50};
}

void InMemoryFiles::set_free_space(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  free_space_ = bytes;
}

// ---- FailingFileSystem

class FailingFileSystem::Writer final : public WritableFile {
 public:
  Writer(const FailingFileSystem& files, std::unique_ptr<WritableFile> base, std::string path)
      : files_(files), base_(std::move(base)), path_(std::move(path)) {}

  Status append(ByteSpan bytes) override {
    if (Status status = files_.next(FileOperation::kAppend, path_); !status.ok()) {
      RETURN_IF_ERROR(base_->append(bytes.first(bytes.size() / 2)));
      return status;
    }
    return base_->append(bytes);
  }
  Status sync() override {
    RETURN_IF_ERROR(files_.next(FileOperation::kSync, path_));
    return base_->sync();
  }
  Status close() override {
    Status status = files_.next(FileOperation::kClose, path_);
    const Status closed = base_->close();
    return status.ok() ? closed : status;
  }

 private:
  const FailingFileSystem& files_;
  const std::unique_ptr<WritableFile> base_;
  const std::string path_;
};

void FailingFileSystem::fail_call(uint64_t number, Status status, bool all_after) {
  const std::lock_guard lock(mutex_);
  failing_call_ = calls_ + number;
  call_status_ = std::move(status);
  all_after_ = all_after;
}

void FailingFileSystem::fail_operation(FileOperation operation, Status status,
                                       std::string path_part) {
  const std::lock_guard lock(mutex_);
  rules_.push_back({operation, std::move(status), std::move(path_part)});
}

void FailingFileSystem::clear() {
  const std::lock_guard lock(mutex_);
  calls_ = 0;
  failing_call_ = 0;
  all_after_ = false;
  rules_.clear();
}

uint64_t FailingFileSystem::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

void FailingFileSystem::set_hook(std::function<void(uint64_t, FileOperation)> hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

Status FailingFileSystem::next(FileOperation operation, const std::string& path) const {
  std::function<void(uint64_t, FileOperation)> hook;
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = ++calls_;
    hook = hook_;
  }
  if (hook) hook(number, operation);
  const std::lock_guard lock(mutex_);
  if (failing_call_ != 0 && (number == failing_call_ || (all_after_ && number > failing_call_))) {
    return call_status_;
  }
  for (const Rule& rule : rules_) {
    if (rule.operation == operation && path.find(rule.path_part) != std::string::npos) {
      return rule.status;
    }
  }
  return {};
}

Result<FileInfo> FailingFileSystem::info(const std::string& path) const {
  RETURN_IF_ERROR(next(FileOperation::kInfo, path));
  return base_.info(path);
}

Result<std::vector<DirectoryEntry>> FailingFileSystem::list(const std::string& path) const {
  RETURN_IF_ERROR(next(FileOperation::kList, path));
  return base_.list(path);
}

Result<Bytes> FailingFileSystem::map(const std::string& path, Links links) const {
  RETURN_IF_ERROR(next(FileOperation::kMap, path));
  return base_.map(path, links);
}

Result<std::unique_ptr<WritableFile>> FailingFileSystem::create(const std::string& path) {
  RETURN_IF_ERROR(next(FileOperation::kCreate, path));
  ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, base_.create(path));
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(*this, std::move(file), path));
}

Status FailingFileSystem::make_directory(const std::string& path) {
  RETURN_IF_ERROR(next(FileOperation::kMakeDirectory, path));
  return base_.make_directory(path);
}

Result<std::string> FailingFileSystem::make_unique_directory(const std::string& parent,
                                                             const std::string& prefix) {
  RETURN_IF_ERROR(next(FileOperation::kMakeUniqueDirectory, join_path(parent, prefix)));
  return base_.make_unique_directory(parent, prefix);
}

Status FailingFileSystem::rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(next(FileOperation::kRename, from));
  return base_.rename(from, to);
}

Status FailingFileSystem::remove_file(const std::string& path) {
  RETURN_IF_ERROR(next(FileOperation::kRemoveFile, path));
  return base_.remove_file(path);
}

Status FailingFileSystem::remove_tree(const std::string& path) {
  RETURN_IF_ERROR(next(FileOperation::kRemoveTree, path));
  return base_.remove_tree(path);
}

Status FailingFileSystem::sync_directory(const std::string& path) {
  RETURN_IF_ERROR(next(FileOperation::kSyncDirectory, path));
  return base_.sync_directory(path);
}

Status FailingFileSystem::sync_file(const std::string& path) {
  RETURN_IF_ERROR(next(FileOperation::kSyncFile, path));
  return base_.sync_file(path);
}

Result<std::unique_ptr<FileLock>> FailingFileSystem::try_lock(const std::string& path,
                                                              LockMode mode, MissingLock missing) {
  RETURN_IF_ERROR(next(FileOperation::kLock, path));
  return base_.try_lock(path, mode, missing);
}

Result<SpaceInfo> FailingFileSystem::space(const std::string& path) const {
  RETURN_IF_ERROR(next(FileOperation::kSpace, path));
  return base_.space(path);
}

}  // namespace coreml_delegate
