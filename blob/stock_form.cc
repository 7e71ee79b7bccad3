#include "blob/stock_form.h"

#include <algorithm>
#include <exception>
#include <map>
#include <utility>
#include <vector>

#include "blob/flattened_directory.h"
#include "blob/json.h"
#include "blob/stock_metadata.h"

namespace coreml_delegate::blob {
namespace {

using inmemoryfs::InMemoryFileSystem;
using nlohmann::json;

// What the stock exporter calls the folder.
constexpr char kRootName[] = "lowered_module";

json names_of(const std::vector<TensorSpec>& tensors) {
  json names = json::array();
  for (const TensorSpec& tensor : tensors) names.push_back(tensor.name);
  return names;
}

// The stock runtime keeps compiled models by this: it is the same for the same content only.
std::string identifier_of(const Blob& blob) { return "executorch_" + to_hex(blob.content_id); }

Result<std::string> encode_metadata(const Blob& blob) {
  try {
    json metadata{{"identifier", identifier_of(blob)}};
    if (blob.functions.size() == 1) {
      metadata["inputNames"] = names_of(blob.functions[0].inputs);
      metadata["outputNames"] = names_of(blob.functions[0].outputs);
    } else {
      metadata["methods"] = json::object();
      for (const Function& function : blob.functions) {
        metadata["methods"][function.name] = {{"inputNames", names_of(function.inputs)},
                                              {"outputNames", names_of(function.outputs)}};
      }
    }
    return metadata.dump();
  } catch (const std::exception& error) {
    return internal_error(std::string("metadata.json cannot be written: ") + error.what());
  }
}

// A file or directory: where its bytes are and how many. The place of no bytes means nothing.
struct Entry {
  inmemoryfs::NodeKind kind;
  const std::byte* data;
  uint64_t size;
  bool operator==(const Entry&) const = default;
};

Result<std::map<std::string, Entry>> entries_of(const InMemoryFileSystem& tree) {
  std::map<std::string, Entry> entries;
  COREML_DELEGATE_RETURN_IF_ERROR(tree.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& metadata, const Bytes& content) {
        const std::byte* data = content.size() > 0 ? content.data() : nullptr;
        entries.emplace(path, Entry{metadata.kind, data, content.size()});
        return Status();
      }));
  return entries;
}

Status compare_files(const InMemoryFileSystem& ours, const InMemoryFileSystem& theirs) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const auto in_blob, entries_of(ours));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const auto in_index, entries_of(theirs));
  for (const auto& [path, entry] : in_blob) {
    const auto found = in_index.find(path);
    if (found == in_index.end()) return corrupt_data("the file is not in the stock index", path);
    if (found->second != entry) {
      return corrupt_data(
          "the file is at another place in the stock index, or has another size there", path);
    }
  }
  for (const auto& [path, entry] : in_index) {
    if (!in_blob.contains(path)) return corrupt_data("the file is only in the stock index", path);
  }
  return {};
}

std::vector<std::string> tensor_names(const std::vector<TensorSpec>& tensors) {
  std::vector<std::string> names;
  for (const TensorSpec& tensor : tensors) names.push_back(tensor.name);
  return names;
}

Status compare_functions(const Blob& blob, ByteSpan metadata) {
  std::string identifier;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<Function> theirs,
                                   parse_stock_metadata(metadata, &identifier));
  if (identifier != identifier_of(blob)) {
    return corrupt_data(
        "the identifier '" + identifier.substr(0, 100) + "' is not '" + identifier_of(blob) + "'",
        kStockMetadata);
  }
  // One function stands there without its name.
  const bool named = blob.functions.size() != 1;
  if (theirs.size() != blob.functions.size() || theirs[0].name.empty() == named) {
    return corrupt_data("the file has other functions than the blob", kStockMetadata);
  }
  for (const Function& function : theirs) {
    const auto ours = std::find_if(
        blob.functions.begin(), blob.functions.end(),
        [&](const Function& candidate) { return !named || candidate.name == function.name; });
    if (ours == blob.functions.end()) {
      return corrupt_data(
          "the file has the function " + function.name + ", which the blob does not have",
          kStockMetadata);
    }
    if (tensor_names(function.inputs) != tensor_names(ours->inputs) ||
        tensor_names(function.outputs) != tensor_names(ours->outputs)) {
      return corrupt_data(
          "the file has other inputs or outputs than the blob's function " + ours->name,
          kStockMetadata);
    }
  }
  return {};
}

Status compare(const Bytes& bytes, uint64_t size, const Blob& blob) {
  FlattenedIndex index;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const InMemoryFileSystem tree,
                                   read_flattened_directory(bytes, &index, bytes.size() - size));
  if (Status name = inmemoryfs::check_path(index.root_name);
      !name.ok() || index.root_name.find('/') != std::string::npos) {
    return corrupt_data("the root's name cannot be the name of a folder");
  }
  const std::string model = stock_model_name(blob.kind);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree.list(""));
  for (const std::string& name : names) {
    const bool expected = name == model || name == kStockMetadata ||
                          (name == kStockDebugInfo && blob.debug_map.size() > 0);
    if (!expected) return corrupt_data("the blob has no such file or folder", name);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const InMemoryFileSystem theirs, tree.subtree(model));
  COREML_DELEGATE_RETURN_IF_ERROR(compare_files(blob.files, theirs));
  if (blob.debug_map.size() > 0) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes debug_info, tree.read(kStockDebugInfo));
    if (as_text(debug_info.span()) != as_text(blob.debug_map.span())) {
      return corrupt_data("the file is not the blob's debug map", kStockDebugInfo);
    }
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes metadata, tree.read(kStockMetadata));
  return compare_functions(blob, metadata.span());
}

}  // namespace

Status check_stock_can_carry(const std::vector<Function>& functions, StatusCode code) {
  for (const Function& function : functions) {
    for (const State& state : function.states) {
      if (state.initial_value_path.empty()) continue;
      return Status(
          code,
          "the state starts with values of its own, but the stock runtime starts states from zero",
          "state " + state.tensor.name + " of function " + function.name);
    }
  }
  return {};
}

Result<std::string> encode_stock_form(const Blob& blob, const InMemoryFileSystem& files,
                                      const StockLayout& layout) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::string form, encode_metadata(blob));
  const std::string model = std::string(stock_model_name(blob.kind)) + "/";
  InMemoryFileSystem tree;
  COREML_DELEGATE_RETURN_IF_ERROR(tree.add_file(kStockMetadata, Bytes(as_bytes(form))));
  if (blob.debug_map.size() > 0)
    COREML_DELEGATE_RETURN_IF_ERROR(tree.add_file(kStockDebugInfo, blob.debug_map));
  COREML_DELEGATE_RETURN_IF_ERROR(files.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& metadata, const Bytes& content) {
        return metadata.kind == inmemoryfs::NodeKind::kFile
                   ? tree.add_file(model + std::string(path), content)
                   : Status();
      }));
  const auto place = [&](const std::string& path, uint64_t) -> uint64_t {
    if (path == kStockMetadata) return layout.end;
    if (path == kStockDebugInfo) return layout.debug_map_offset;
    return layout.file_offset(path.substr(model.size()));
  };
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::string index,
                                   encode_flattened_index(tree, kRootName, place));
  return form + index;
}

Status check_stock_form(const Bytes& bytes, uint64_t size, const Blob& blob) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_stock_can_carry(blob.functions, StatusCode::kCorruptData));
  const Status same = compare(bytes, size, blob);
  if (same.ok()) return {};
  return same.annotate_as(
      StatusCode::kCorruptData,
      "the part of the blob for the stock runtime does not agree with the blob itself");
}

}  // namespace coreml_delegate::blob
