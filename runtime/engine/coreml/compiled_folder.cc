#include "runtime/engine/coreml/compiled_folder.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace coreml_delegate::engine::coreml {

namespace {

using Json = nlohmann::json;

constexpr char kDescription[] = "description.json";
constexpr char kEngine[] = "coreml";
constexpr int kFormat = 2;
constexpr DataType kTypes[] = {
    DataType::kBool,  DataType::kInt8,  DataType::kUInt8,   DataType::kInt16,   DataType::kUInt16,
    DataType::kInt32, DataType::kInt64, DataType::kFloat16, DataType::kFloat32, DataType::kFloat64};

// Path below model.mlmodelc -> bytes.
using Sizes = std::map<std::string, uint64_t>;

Status measure_files(const FileSystem& files, const std::string& folder, const std::string& below,
                     Sizes& sizes) {
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, files.list(folder));
  for (const DirectoryEntry& entry : entries) {
    const std::string path = join_path(folder, entry.name);
    const std::string name = below.empty() ? entry.name : below + "/" + entry.name;
    if (entry.kind == FileKind::kDirectory) {
      RETURN_IF_ERROR(measure_files(files, path, name, sizes));
    } else if (entry.kind == FileKind::kFile) {
      ASSIGN_OR_RETURN(const FileInfo info, files.info(path));
      sizes[name] = info.size;
    } else {
      return corrupt_data("a compiled model holds files and folders only", path);
    }
  }
  return {};
}

Json to_json(const std::vector<TensorSpec>& specs) {
  Json result = Json::array();
  for (const TensorSpec& spec : specs) {
    Json shape = Json::array();
    for (const Dimension& dimension : spec.shape) shape.push_back({dimension.min, dimension.max});
    result.push_back({{"name", spec.name},
                      {"type", std::string(data_type_name(spec.dtype))},
                      {"shape", shape},
                      {"enumerated", spec.enumerated_shapes}});
  }
  return result;
}

std::vector<TensorSpec> specs_of(const Json& json) {
  std::vector<TensorSpec> specs;
  for (const Json& item : json) {
    TensorSpec& spec = specs.emplace_back();
    item.at("name").get_to(spec.name);
    for (const DataType type : kTypes) {
      if (item.at("type").get<std::string>() == data_type_name(type)) spec.dtype = type;
    }
    for (const Json& dimension : item.at("shape")) {
      spec.shape.push_back({dimension.at(0).get<int64_t>(), dimension.at(1).get<int64_t>()});
    }
    item.at("enumerated").get_to(spec.enumerated_shapes);
  }
  return specs;
}

}  // namespace

std::string compiled_model_path(const std::string& folder) {
  return join_path(folder, "model.mlmodelc");
}

Status write_description(FileSystem& files, const std::string& folder,
                         const CompiledFunction& function) {
  Sizes sizes;
  RETURN_IF_ERROR(measure_files(files, compiled_model_path(folder), "", sizes));
  const Json json = {{"engine", kEngine},
                     {"format", kFormat},
                     {"request", function.request},
                     {"function", function.description.name},
                     {"select", function.function_to_select},
                     {"inputs", to_json(function.description.inputs)},
                     {"outputs", to_json(function.description.outputs)},
                     {"states", to_json(function.description.states)},
                     {"files", sizes}};
  // Names come from a model, which was checked to be UTF-8; a stray byte must not throw.
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::string path = join_path(folder, kDescription);
  ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files.create(path));
  RETURN_IF_ERROR(file->append(as_bytes(text)));
  RETURN_IF_ERROR(file->sync());
  return file->close();
}

Result<CompiledFunction> read_description(const FileSystem& files, const std::string& folder) {
  const std::string path = join_path(folder, kDescription);
  const Result<Bytes> content = files.map(path, Links::kRefuse);
  if (!content.ok()) {
    return content.status().annotate_as(
        StatusCode::kCorruptData, "the folder is none that the Core ML engine compiled", path);
  }
  CompiledFunction function;
  Sizes expected;
  try {
    // Format 1 had a line with a digest behind the first.
    const std::string_view text = as_text(content->span());
    const Json json = Json::parse(text.substr(0, text.find('\n')));
    if (json.at("engine") != kEngine || json.at("format") != kFormat) {
      return failed_precondition(
          "the folder was compiled by another engine or version: compile the model again", path);
    }
    json.at("request").get_to(function.request);
    json.at("function").get_to(function.description.name);
    json.at("select").get_to(function.function_to_select);
    function.description.inputs = specs_of(json.at("inputs"));
    function.description.outputs = specs_of(json.at("outputs"));
    function.description.states = specs_of(json.at("states"));
    json.at("files").get_to(expected);
  } catch (const std::exception& error) {
    return corrupt_data(std::string("the description is none: ") + error.what(), path);
  }
  Sizes found;
  if (const Status status = measure_files(files, compiled_model_path(folder), "", found);
      !status.ok()) {
    return status.annotate_as(StatusCode::kCorruptData, "read the compiled model", folder);
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
    return corrupt_data("the compiled model has files that were not compiled", folder);
  }
  return function;
}

}  // namespace coreml_delegate::engine::coreml
