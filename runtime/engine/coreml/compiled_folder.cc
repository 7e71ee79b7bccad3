#include "runtime/engine/coreml/compiled_folder.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/engine/description_json.h"

namespace coreml_delegate::engine::coreml {

namespace {

using Json = nlohmann::json;

constexpr char kDescription[] = "description.json";
constexpr char kEngine[] = "coreml";
constexpr int kFormat = 2;

// Path below model.mlmodelc -> bytes.
using Sizes = std::map<std::string, uint64_t>;

Status measure_files(const FileSystem& files, const std::string& folder, const std::string& below,
                     Sizes& sizes) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, files.list(folder));
  for (const DirectoryEntry& entry : entries) {
    const std::string path = join_path(folder, entry.name);
    const std::string name = below.empty() ? entry.name : below + "/" + entry.name;
    if (entry.kind == FileKind::kDirectory) {
      COREML_DELEGATE_RETURN_IF_ERROR(measure_files(files, path, name, sizes));
    } else if (entry.kind == FileKind::kFile) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const FileInfo info, files.info(path));
      sizes[name] = info.size;
    } else {
      return corrupt_data("a compiled model may hold only files and folders", path);
    }
  }
  return {};
}

}  // namespace

std::string compiled_model_path(const std::string& folder) {
  return join_path(folder, "model.mlmodelc");
}

Status write_description(FileSystem& files, const std::string& folder,
                         const CompiledFunction& function) {
  Sizes sizes;
  COREML_DELEGATE_RETURN_IF_ERROR(measure_files(files, compiled_model_path(folder), "", sizes));
  const Json json = {{"engine", kEngine},
                     {"format", kFormat},
                     {"request", function.request},
                     {"function", to_json(function.description)},
                     {"select", function.function_to_select},
                     {"files", sizes}};
  // Names come from a model, which was checked to be UTF-8; a stray byte must not throw.
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return write_file(files, join_path(folder, kDescription), as_bytes(text), Durability::kSynced);
}

Result<CompiledFunction> read_description(const FileSystem& files, const std::string& folder) {
  const std::string path = join_path(folder, kDescription);
  const Result<Bytes> content = files.map(path, Links::kRefuse);
  if (!content.ok()) {
    return content.status().annotate_as(StatusCode::kCorruptData,
                                        "the folder was not compiled by the Core ML engine", path);
  }
  // Format 1 had a line with a digest behind the first.
  const std::string_view text = as_text(content->span());
  const Json json = Json::parse(text.substr(0, text.find('\n')), nullptr,
                                /*allow_exceptions=*/false);
  JsonReader reader;
  CompiledFunction function;
  const std::string engine = reader.text(json, "engine");
  const int64_t format = reader.integer(reader.member(json, "format"), "format");
  if (reader.ok() && (engine != kEngine || format != kFormat)) {
    return failed_precondition(
        "the folder was compiled by another engine or version: compile the model again", path);
  }
  function.request = reader.text(json, "request");
  function.function_to_select = reader.text(json, "select");
  function.description = reader.description(reader.object(json, "function"));
  Sizes expected;
  for (const auto& [name, size] : reader.object(json, "files").items()) {
    expected[name] = static_cast<uint64_t>(reader.integer(size, "files"));
  }
  if (!reader.ok()) {
    return corrupt_data("the description lacks a proper \"" + reader.problem() + "\"", path);
  }
  Sizes found;
  if (const Status status = measure_files(files, compiled_model_path(folder), "", found);
      !status.ok()) {
    return status.annotate_as(StatusCode::kCorruptData, "cannot read the compiled model", folder);
  }
  for (const auto& [name, size] : expected) {
    const auto there = found.find(name);
    if (there == found.end()) return corrupt_data("a file of the compiled model is missing", name);
    if (there->second != size) {
      return corrupt_data("a file of the compiled model has " + std::to_string(there->second) +
                              " bytes instead of " + std::to_string(size),
                          name);
    }
  }
  if (found.size() != expected.size()) {
    return corrupt_data("the compiled model has files that the compilation did not write", folder);
  }
  return function;
}

}  // namespace coreml_delegate::engine::coreml
