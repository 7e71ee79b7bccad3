#include "blob/flattened_directory.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "blob/json.h"
#include "blob/rules.h"

namespace coreml_delegate::blob {
namespace {

using inmemoryfs::InMemoryFileSystem;
using nlohmann::json;

constexpr size_t kMaxNodes = 100'000;
constexpr uint64_t kAlignment = 64;
constexpr uint64_t kFileKind = 0;
constexpr uint64_t kDirectoryKind = 1;
constexpr char kIndexName[] = "the index of the flattened directory";

bool is_padding(char c) {
  return c == '\0' || c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

// The index, turned the right way round, and where its bytes start.
struct Index {
  std::string text;
  uint64_t start = 0;
};

// The index that ends the bytes, starting at `from` or later.
Result<Index> find_index(std::string_view bytes, uint64_t from) {
  size_t end = bytes.size();
  while (end > 0 && is_padding(bytes[end - 1])) --end;
  if (end == 0 || bytes[end - 1] != '{') {
    return unsupported(
        "the bytes have none of the formats of a Core ML delegate: they have no file identifier "
        "CMLB, do not start with CMJR, and do not end like a flattened directory");
  }
  Index index;
  int64_t depth = 0;
  bool in_string = false;
  bool escaped = false;
  for (size_t at = end; at-- > from;) {
    const char c = bytes[at];
    index.text += c;
    if (index.text.size() > kMaxJsonBytes) {
      return corrupt_data(std::string(kIndexName) + " is longer than 64 MiB");
    }
    if (in_string) {
      if (escaped) {
        escaped = false;
      } else if (c == '\\') {
        escaped = true;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      index.start = at;
      return index;
    }
  }
  return corrupt_data(std::string(kIndexName) + " does not end: its braces do not balance");
}

std::string node_name(size_t number) { return "node " + std::to_string(number); }

// A member that is a number not below 0; 0 where it is missing.
Result<uint64_t> number_member(const json& object, const char* name, const std::string& artifact) {
  const json* member = find_member(object, name);
  if (member == nullptr) return uint64_t{0};
  if (!member->is_number_unsigned()) {
    return corrupt_data(std::string("the node's ") + name + " is not an integer of at least 0",
                        artifact);
  }
  return member->get<uint64_t>();
}

struct Node {
  bool is_directory = false;
  uint64_t offset = 0;
  uint64_t size = 0;
  bool has_parent = false;
  // Name and number, as in the index.
  std::vector<std::pair<const std::string*, size_t>> children;
};

class IndexReader {
 public:
  IndexReader(const Bytes& bytes, uint64_t index_start)
      : bytes_(bytes), index_start_(index_start) {}

  Result<InMemoryFileSystem> read(const json& index) {
    const json* nodes = index.is_object() ? find_member(index, "nodes") : nullptr;
    if (nodes == nullptr || !nodes->is_array()) {
      return corrupt_data(std::string(kIndexName) + " has no list of nodes");
    }
    if (nodes->empty()) return corrupt_data(std::string(kIndexName) + " has no nodes");
    if (nodes->size() > kMaxNodes) {
      return corrupt_data(std::string(kIndexName) + " has more than 100000 nodes");
    }
    nodes_.resize(nodes->size());
    for (size_t i = 0; i < nodes_.size(); ++i)
      COREML_DELEGATE_RETURN_IF_ERROR(read_node((*nodes)[i], i));
    COREML_DELEGATE_RETURN_IF_ERROR(check_overlap());
    if (!nodes_.back().is_directory) {
      return corrupt_data("the root is a file, not a directory", node_name(nodes_.size() - 1));
    }
    return build_tree();
  }

 private:
  Status read_node(const json& source, size_t number) {
    const std::string artifact = node_name(number);
    if (!source.is_object()) return corrupt_data("the value is not a JSON object", artifact);
    Node& node = nodes_[number];
    COREML_DELEGATE_ASSIGN_OR_RETURN(const uint64_t kind, number_member(source, "kind", artifact));
    if (kind != kFileKind && kind != kDirectoryKind) {
      return corrupt_data(
          "the node's kind is " + std::to_string(kind) + ", which is neither 0 nor 1", artifact);
    }
    node.is_directory = kind == kDirectoryKind;
    COREML_DELEGATE_RETURN_IF_ERROR(read_region(source, node, artifact));
    return read_children(source, number, artifact);
  }

  Status read_region(const json& source, Node& node, const std::string& artifact) {
    const json* region = find_member(source, "dataRegion");
    if (region == nullptr) return {};
    if (!region->is_object())
      return corrupt_data("the node's dataRegion is not a JSON object", artifact);
    COREML_DELEGATE_ASSIGN_OR_RETURN(node.offset, number_member(*region, "offset", artifact));
    COREML_DELEGATE_ASSIGN_OR_RETURN(node.size, number_member(*region, "size", artifact));
    if (node.is_directory && node.size > 0) {
      return corrupt_data("the node is a directory, but has data", artifact);
    }
    // Without offset + size, which may wrap around.
    if (node.size > index_start_ || node.offset > index_start_ - node.size) {
      return corrupt_data(
          "the node's " + std::to_string(node.size) + " bytes at " + std::to_string(node.offset) +
              " reach beyond the data, which ends at " + std::to_string(index_start_),
          artifact);
    }
    return {};
  }

  Status read_children(const json& source, size_t number, const std::string& artifact) {
    const json* children = find_member(source, "children");
    if (children == nullptr) return {};
    if (!children->is_object())
      return corrupt_data("the children of the node are not a JSON object", artifact);
    if (!nodes_[number].is_directory && !children->empty()) {
      return corrupt_data("the node is a file, but has children", artifact);
    }
    for (const auto& [name, value] : children->get_ref<const json::object_t&>()) {
      const std::string child_artifact = "child '" + name.substr(0, 100) + "' of " + artifact;
      if (!value.is_number_unsigned()) {
        return corrupt_data("the reference to a child is not an integer of at least 0",
                            child_artifact);
      }
      const uint64_t child = value.get<uint64_t>();
      // Before its parent: so there are no cycles.
      if (child >= number) {
        return corrupt_data(
            "the child is node " + std::to_string(child) + ", which is not before its parent",
            child_artifact);
      }
      Node& node = nodes_[static_cast<size_t>(child)];
      if (node.has_parent) {
        return corrupt_data(
            "the child is node " + std::to_string(child) + ", which is already in a directory",
            child_artifact);
      }
      node.has_parent = true;
      nodes_[number].children.emplace_back(&name, static_cast<size_t>(child));
    }
    return {};
  }

  Status check_overlap() const {
    std::vector<size_t> files;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].size > 0) files.push_back(i);
    }
    std::stable_sort(files.begin(), files.end(),
                     [&](size_t a, size_t b) { return nodes_[a].offset < nodes_[b].offset; });
    for (size_t i = 1; i < files.size(); ++i) {
      const Node& before = nodes_[files[i - 1]];
      if (before.offset + before.size > nodes_[files[i]].offset) {
        return corrupt_data("the data of the node overlaps that of " + node_name(files[i - 1]),
                            node_name(files[i]));
      }
    }
    return {};
  }

  Result<InMemoryFileSystem> build_tree() const {
    InMemoryFileSystem tree;
    // Directories whose children are still to be added. Every node has one parent, so this ends.
    std::vector<std::pair<size_t, std::string>> open{{nodes_.size() - 1, ""}};
    while (!open.empty()) {
      const auto [number, path] = std::move(open.back());
      open.pop_back();
      for (const auto& [name, child] : nodes_[number].children) {
        if (name->find('/') != std::string::npos) {
          return corrupt_data("a name contains a slash", node_name(child));
        }
        std::string child_path = path.empty() ? *name : path + "/" + *name;
        const Node& node = nodes_[child];
        const Status added =
            node.is_directory
                ? tree.add_directory(child_path)
                : tree.add_file(child_path, bytes_.subspan(static_cast<size_t>(node.offset),
                                                           static_cast<size_t>(node.size)));
        if (!added.ok()) {
          return added.annotate_as(StatusCode::kCorruptData, "the name of the node is not allowed",
                                   node_name(child));
        }
        if (node.is_directory) open.emplace_back(child, std::move(child_path));
      }
    }
    return tree;
  }

  const Bytes& bytes_;
  const uint64_t index_start_;
  std::vector<Node> nodes_;
};

}  // namespace

Result<InMemoryFileSystem> read_flattened_directory(const Bytes& bytes, FlattenedIndex* index,
                                                    uint64_t index_from) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Index found,
                                   find_index(as_text(bytes.span()), index_from));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const json parsed, parse_json(found.text, kIndexName));
  COREML_DELEGATE_ASSIGN_OR_RETURN(InMemoryFileSystem tree,
                                   IndexReader(bytes, found.start).read(parsed));
  if (index != nullptr) {
    // The last of a list of objects, as the reader has found.
    const json* name = find_member(find_member(parsed, "nodes")->back(), "name");
    index->root_name =
        name != nullptr && name->is_string() ? name->get<std::string>() : std::string();
    index->start = found.start;
  }
  return tree;
}

Result<std::string> encode_flattened_index(const InMemoryFileSystem& tree,
                                           const std::string& root_name,
                                           const FilePlacement& place) {
  if (Status name = inmemoryfs::check_path(root_name); !name.ok()) {
    return name.annotate("the root's name is not allowed");
  }
  json nodes = json::array();

  // Appends the nodes below `path`; returns name and number of each entry.
  const std::function<Result<json>(const std::string&)> add_entries =
      [&](const std::string& path) -> Result<json> {
    json children = json::object();
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree.list(path));
    for (const std::string& name : names) {
      const std::string below = path.empty() ? name : path + "/" + name;
      COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::Metadata metadata, tree.metadata(below));
      uint64_t offset = 0;
      json grandchildren = json::object();
      if (metadata.kind == inmemoryfs::NodeKind::kDirectory) {
        COREML_DELEGATE_ASSIGN_OR_RETURN(grandchildren, add_entries(below));
      } else if (metadata.size > 0) {
        offset = place(below, metadata.size);
      }
      nodes.push_back(
          {{"name", name},
           {"kind", metadata.kind == inmemoryfs::NodeKind::kFile ? kFileKind : kDirectoryKind},
           {"dataRegion", {{"offset", offset}, {"size", metadata.size}}},
           {"children", std::move(grandchildren)}});
      children[name] = nodes.size() - 1;
    }
    return children;
  };

  std::string index;
  try {
    COREML_DELEGATE_ASSIGN_OR_RETURN(json children, add_entries(""));
    nodes.push_back({{"name", root_name},
                     {"kind", kDirectoryKind},
                     {"dataRegion", {{"offset", 0}, {"size", 0}}},
                     {"children", std::move(children)}});
    if (nodes.size() > kMaxNodes) {
      return invalid_argument("the folder has more than 100000 files and folders");
    }
    // Names are UTF-8 (check_path), so that dump() does not throw for them.
    index = json{{"nodes", std::move(nodes)}}.dump();
  } catch (const std::exception& error) {
    return internal_error(std::string(kIndexName) + " cannot be written: " + error.what());
  }
  std::reverse(index.begin(), index.end());
  return index;
}

Result<FlattenedDirectoryWriter> FlattenedDirectoryWriter::create(const InMemoryFileSystem& tree,
                                                                  const std::string& root_name) {
  FlattenedDirectoryWriter writer;
  // Files get their places in the order in which the index names them.
  std::vector<std::pair<uint64_t, std::string>> placed;
  const auto place = [&](const std::string& path, uint64_t size) {
    const uint64_t offset = align_up(writer.data_size_, kAlignment);
    writer.data_size_ = offset + size;
    placed.emplace_back(offset, path);
    return offset;
  };
  COREML_DELEGATE_ASSIGN_OR_RETURN(writer.index_, encode_flattened_index(tree, root_name, place));
  for (const auto& [offset, path] : placed) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(Bytes content, tree.read(path));
    writer.regions_.push_back({offset, std::move(content)});
  }
  return writer;
}

Status FlattenedDirectoryWriter::write(ByteSink& sink) const {
  uint64_t end = 0;
  for (const Region& region : regions_) {
    COREML_DELEGATE_RETURN_IF_ERROR(sink.append_zeros(region.offset - end));
    COREML_DELEGATE_RETURN_IF_ERROR(sink.append_file(region.content));
    end = region.offset + region.content.size();
  }
  return sink.append(as_bytes(index_));
}

}  // namespace coreml_delegate::blob
