#include "inmemoryfs/inmemory_file_system.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace coreml_delegate::inmemoryfs {
namespace {

// The first component of `path`; the rest, without the slash between, becomes `path`.
std::string_view take_component(std::string_view& path) {
  const size_t slash = path.find('/');
  const std::string_view component = path.substr(0, slash);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  return component;
}

size_t depth_of(std::string_view path) {
  return path.empty() ? 0 : 1 + static_cast<size_t>(std::count(path.begin(), path.end(), '/'));
}

// For messages: the path without what would break a line of a log.
std::string printable(std::string_view path) {
  constexpr size_t kMaxShown = 200;
  std::string text;
  for (const char c : path.substr(0, kMaxShown)) {
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  if (path.size() > kMaxShown) text += "...";
  return text;
}

}  // namespace

Status check_path(std::string_view path) {
  const auto broken = [&](const char* rule) { return invalid_argument(rule, printable(path)); };
  if (path.empty()) return broken("the path is empty");
  if (path.front() == '/') return broken("the path is absolute");
  if (path.find('\0') != std::string_view::npos) return broken("the path contains NUL");
  if (!is_valid_utf8(path)) return broken("the path is not UTF-8");
  if (depth_of(path) > kMaxPathDepth) return broken("the path has more than 64 components");
  if (path.back() == '/') return broken("the path ends in a slash");
  for (std::string_view rest = path; !rest.empty();) {
    const std::string_view component = take_component(rest);
    if (component.empty()) return broken("the path has an empty component");
    if (component == "." || component == "..") return broken("the path has the component . or ..");
    if (component.size() > kMaxComponentBytes) {
      return broken("the path has a component of more than 255 bytes");
    }
  }
  return {};
}

struct InMemoryFileSystem::Node {
  NodeKind kind = NodeKind::kDirectory;
  Bytes content;
  // Sorted bytewise: std::string compares as unsigned char.
  std::map<std::string, std::unique_ptr<Node>, std::less<>> children;

  bool is_directory() const { return kind == NodeKind::kDirectory; }
  Metadata metadata() const { return {kind, content.size()}; }

  Node* child(std::string_view name) const {
    const auto found = children.find(name);
    return found == children.end() ? nullptr : found->second.get();
  }

  // The node at a path that was checked, or null.
  Node* find(std::string_view path) {
    Node* node = this;
    while (node != nullptr && !path.empty()) node = node->child(take_component(path));
    return node;
  }
  const Node* find(std::string_view path) const { return const_cast<Node*>(this)->find(path); }

  // Levels below this node.
  size_t height() const {
    size_t height = 0;
    for (const auto& [name, node] : children) height = std::max(height, 1 + node->height());
    return height;
  }

  std::unique_ptr<Node> copy() const {
    auto result = std::make_unique<Node>();
    result->kind = kind;
    result->content = content;
    for (const auto& [name, node] : children) result->children.emplace(name, node->copy());
    return result;
  }

  void total(size_t& files, uint64_t& bytes) const {
    if (!is_directory()) {
      ++files;
      bytes += content.size();
    }
    for (const auto& [name, node] : children) node->total(files, bytes);
  }

  Status walk(std::string& path, const Visitor& visit) const {
    for (const auto& [name, node] : children) {
      const size_t before = path.size();
      if (before > 0) path += '/';
      path += name;
      COREML_DELEGATE_RETURN_IF_ERROR(visit(path, node->metadata(), node->content));
      COREML_DELEGATE_RETURN_IF_ERROR(node->walk(path, visit));
      path.resize(before);
    }
    return {};
  }

  // Adds `node` at a path that was checked, making the directories above it.
  Status insert(std::string_view path, std::unique_ptr<Node> node) {
    // Looks first, so that a failure leaves no directories behind.
    const Node* above = this;
    for (std::string_view rest = path; above != nullptr && !rest.empty();) {
      if (!above->is_directory()) {
        return already_exists("a component of the path is a file", printable(path));
      }
      above = above->child(take_component(rest));
    }
    if (above != nullptr) {
      return already_exists("a file or directory with this name already exists", printable(path));
    }
    Node* parent = this;
    for (;;) {
      const std::string name(take_component(path));
      if (path.empty()) {
        parent->children.emplace(name, std::move(node));
        return {};
      }
      std::unique_ptr<Node>& next = parent->children[name];
      if (next == nullptr) next = std::make_unique<Node>();
      parent = next.get();
    }
  }
};

InMemoryFileSystem::InMemoryFileSystem() : root_(std::make_unique<Node>()) {}
InMemoryFileSystem::~InMemoryFileSystem() = default;
InMemoryFileSystem::InMemoryFileSystem(InMemoryFileSystem&& other) noexcept
    : root_(std::move(other.root_)) {}
InMemoryFileSystem& InMemoryFileSystem::operator=(InMemoryFileSystem&& other) noexcept {
  root_ = std::move(other.root_);
  return *this;
}

Result<const InMemoryFileSystem::Node*> InMemoryFileSystem::look_up(std::string_view path) const {
  if (!path.empty()) COREML_DELEGATE_RETURN_IF_ERROR(check_path(path));
  const Node* node = std::as_const(*root_).find(path);
  if (node == nullptr) return not_found("there is no such file or directory", printable(path));
  return node;
}

bool InMemoryFileSystem::exists(std::string_view path) const { return look_up(path).ok(); }

Result<Metadata> InMemoryFileSystem::metadata(std::string_view path) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Node* node, look_up(path));
  return node->metadata();
}

Result<Bytes> InMemoryFileSystem::read(std::string_view path) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Node* node, look_up(path));
  if (node->is_directory()) return invalid_argument("the path is a directory", printable(path));
  return node->content;
}

Result<std::vector<std::string>> InMemoryFileSystem::list(std::string_view path) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Node* node, look_up(path));
  if (!node->is_directory()) return invalid_argument("the path is a file", printable(path));
  std::vector<std::string> names;
  names.reserve(node->children.size());
  for (const auto& [name, child] : node->children) names.push_back(name);
  return names;
}

Status InMemoryFileSystem::walk(std::string_view path, const Visitor& visit) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Node* node, look_up(path));
  if (!node->is_directory()) return invalid_argument("the path is a file", printable(path));
  std::string current(path);
  return node->walk(current, visit);
}

Status InMemoryFileSystem::add_file(std::string_view path, Bytes content) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_path(path));
  auto node = std::make_unique<Node>();
  node->kind = NodeKind::kFile;
  node->content = std::move(content);
  return root_->insert(path, std::move(node));
}

Status InMemoryFileSystem::add_directory(std::string_view path) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_path(path));
  if (const Node* node = root_->find(path); node != nullptr && node->is_directory()) return {};
  return root_->insert(path, std::make_unique<Node>());
}

std::unique_ptr<InMemoryFileSystem::Node> InMemoryFileSystem::detach(std::string_view path) {
  const size_t slash = path.rfind('/');
  Node* parent = slash == std::string_view::npos ? root_.get() : root_->find(path.substr(0, slash));
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const auto found = parent->children.find(name);
  std::unique_ptr<Node> node = std::move(found->second);
  parent->children.erase(found);
  return node;
}

Status InMemoryFileSystem::remove(std::string_view path) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_path(path));
  COREML_DELEGATE_RETURN_IF_ERROR(look_up(path).status());
  detach(path);
  return {};
}

Status InMemoryFileSystem::rename(std::string_view from, std::string_view to) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_path(from));
  COREML_DELEGATE_RETURN_IF_ERROR(check_path(to));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Node* node, look_up(from));
  if (root_->find(to) != nullptr) {
    return already_exists("a file or directory with this name already exists", printable(to));
  }
  if (to.size() > from.size() && to.substr(0, from.size()) == from && to[from.size()] == '/') {
    return invalid_argument("a directory cannot be moved below itself", printable(from));
  }
  const size_t slash = to.rfind('/');
  const std::string_view above =
      slash == std::string_view::npos ? std::string_view() : to.substr(0, slash);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Node* parent, look_up(above));
  if (!parent->is_directory()) return invalid_argument("the path is a file", printable(above));
  if (depth_of(to) + node->height() > kMaxPathDepth) {
    return invalid_argument("a path below it would have more than 64 components", printable(to));
  }
  return root_->insert(to, detach(from));
}

Result<InMemoryFileSystem> InMemoryFileSystem::subtree(std::string_view path) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Node* node, look_up(path));
  if (!node->is_directory()) return invalid_argument("the path is a file", printable(path));
  InMemoryFileSystem result;
  result.root_ = node->copy();
  return result;
}

size_t InMemoryFileSystem::file_count() const {
  size_t files = 0;
  uint64_t bytes = 0;
  root_->total(files, bytes);
  return files;
}

uint64_t InMemoryFileSystem::total_bytes() const {
  size_t files = 0;
  uint64_t bytes = 0;
  root_->total(files, bytes);
  return bytes;
}

}  // namespace coreml_delegate::inmemoryfs
