#include "runtime/model/package.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/json_members.h"
#include "runtime/model/classifier_parser.h"
#include "runtime/model/feature_parser.h"
#include "runtime/model/mil.h"
#include "runtime/model/mil_reader.h"
#include "runtime/model/program_parser.h"
#include "runtime/model/value_parser.h"

namespace coreml_delegate::model {

namespace {

constexpr char kManifest[] = "Manifest.json";
constexpr char kDataFolder[] = "Data";
constexpr uint64_t kMaxManifestBytes = uint64_t{1} << 20;
// ML Programs begin with iOS 15; 10 is iOS 26.
constexpr int32_t kMinSpecificationVersion = 6;
constexpr int32_t kMaxSpecificationVersion = 10;

// The path of the model specification within the package.
Result<std::string> find_root_model(const Bytes& manifest) {
  if (manifest.size() > kMaxManifestBytes) {
    return corrupt_data("the manifest has " + std::to_string(manifest.size()) +
                        " bytes; the limit is " + std::to_string(kMaxManifestBytes));
  }
  const std::string_view text = as_text(manifest.span());
  const nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return corrupt_data("the manifest is not a JSON object");
  const std::string version = string_member(json, "fileFormatVersion");
  if (version.empty()) return corrupt_data("the manifest has no fileFormatVersion");
  if (!version.starts_with("1.")) {
    return Status(StatusCode::kVersionTooNew,
                  "the package format has version " + version +
                      ", and this library reads versions 1.x; upgrade this library");
  }
  const std::string identifier = string_member(json, "rootModelIdentifier");
  const auto entries = json.find("itemInfoEntries");
  if (identifier.empty() || entries == json.end() || !entries->is_object()) {
    return corrupt_data("the manifest lacks rootModelIdentifier or itemInfoEntries");
  }
  const auto entry = entries->find(identifier);
  if (entry == entries->end() || !entry->is_object()) {
    return corrupt_data("the manifest's rootModelIdentifier is not one of its itemInfoEntries");
  }
  const std::string path = string_member(*entry, "path");
  if (path.empty()) return corrupt_data("the root model's entry has no path");
  const std::string full_path = std::string(kDataFolder) + "/" + path;
  if (const Status valid = inmemoryfs::check_path(full_path); !valid.ok()) {
    return valid.annotate_as(StatusCode::kCorruptData, "the root model's path is not allowed");
  }
  return full_path;
}

}  // namespace

// The parsed specification and the folder its weights are found in.
struct Package::Impl {
  mil::Model model;
  uint64_t specification_bytes = 0;
  std::string path;
  inmemoryfs::InMemoryFileSystem folder;
  Limits limits;

  // Fills `model`; what it was read from is not needed any more.
  Status read(ByteSpan specification);
  FunctionFeatures features_of(const std::string& name) const;
};

Status Package::Impl::read(ByteSpan specification) {
  if (specification.size() > limits.max_specification_bytes ||
      specification.size() > static_cast<size_t>(INT32_MAX)) {
    return Status(StatusCode::kResourceExhausted,
                  "the specification has " + std::to_string(specification.size()) +
                      " bytes; the limit is " + std::to_string(limits.max_specification_bytes),
                  path);
  }
  specification_bytes = specification.size();
  // A nested block takes two levels; what types and values nest comes on top.
  std::optional<mil::Model> message =
      read_specification(specification, 2 * limits.max_block_depth + 65);
  if (!message) {
    return corrupt_data(
        "the specification is not a valid protobuf message, or is nested too deeply", path);
  }
  model = *std::move(message);
  if (model.specification_version > kMaxSpecificationVersion) {
    return Status(StatusCode::kVersionTooNew,
                  "the model has specification version " +
                      std::to_string(model.specification_version) +
                      "; upgrade this library, which reads versions up to " +
                      std::to_string(kMaxSpecificationVersion),
                  path);
  }
  if (model.ml_program == nullptr) {
    const char* kind = model.pipeline != nullptr         ? "a pipeline"
                       : model.neural_network != nullptr ? "a neural network"
                                                         : "another kind of model";
    return unsupported("the model is " + std::string(kind) +
                           "; only ML Programs are supported (convert_to=\"mlprogram\")",
                       path);
  }
  if (model.specification_version < kMinSpecificationVersion) {
    return corrupt_data("an ML Program has specification version " +
                            std::to_string(model.specification_version) +
                            "; those of ML Programs begin with 6",
                        path);
  }
  if (model.ml_program->functions.empty()) {
    return corrupt_data("the ML Program has no functions", path);
  }
  return {};
}

FunctionFeatures Package::Impl::features_of(const std::string& name) const {
  const mil::ModelDescription& description = model.description;
  for (const mil::FunctionDescription& function : description.functions) {
    if (function.name == name) return {&function.input, &function.output, &function.state};
  }
  return {&description.input, &description.output, &description.state};
}

Result<Package> Package::open(const inmemoryfs::InMemoryFileSystem& files, const Limits& limits) {
  Result<Bytes> manifest = files.read(kManifest);
  if (!manifest.ok()) {
    return manifest.status().annotate_as(StatusCode::kCorruptData,
                                         "the folder is not a model package", kManifest);
  }
  Result<std::string> path = find_root_model(*manifest);
  if (!path.ok()) return path.status().annotate("cannot read the package's manifest", kManifest);

  auto impl = std::make_shared<Impl>();
  impl->limits = limits;
  impl->path = *path;
  Result<Bytes> specification = files.read(*path);
  if (!specification.ok()) {
    return specification.status().annotate_as(
        StatusCode::kCorruptData, "the root model that the manifest names does not exist", *path);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(impl->folder, files.subtree(path->substr(0, path->rfind('/'))));
  COREML_DELEGATE_RETURN_IF_ERROR(impl->read(specification->span()));

  Package package;
  const mil::ModelDescription& description = impl->model.description;
  const auto& functions = impl->model.ml_program->functions;
  package.specification_version_ = impl->model.specification_version;
  if (description.functions.empty()) {
    // Before iOS 18: one function, whose features are the model's.
    if (functions.size() != 1) {
      return corrupt_data("the program has " + std::to_string(functions.size()) +
                              " functions, of which none is described",
                          *path);
    }
    package.function_names_.push_back(functions.begin()->first);
    package.default_function_ = functions.begin()->first;
  } else {
    for (const mil::FunctionDescription& function : description.functions) {
      if (!functions.contains(function.name)) {
        return corrupt_data("the description has a function that the program lacks", function.name);
      }
      if (std::count(package.function_names_.begin(), package.function_names_.end(),
                     function.name) != 0) {
        return corrupt_data("a function is described twice", function.name);
      }
      package.function_names_.push_back(function.name);
    }
    package.default_function_ = description.default_function_name;
    if (package.default_function_.empty()) {
      if (package.function_names_.size() != 1) {
        return corrupt_data("the model has several functions, and none of them is the default",
                            *path);
      }
      package.default_function_ = package.function_names_[0];
    }
    if (std::count(package.function_names_.begin(), package.function_names_.end(),
                   package.default_function_) == 0) {
      return corrupt_data("the default function is not described", package.default_function_);
    }
  }
  for (const auto& [key, value] : description.metadata.user_defined) {
    package.user_metadata_.emplace(key, value);
  }
  package.impl_ = std::move(impl);
  return package;
}

Result<Function> Package::read_function(const std::string& requested, bool with_body) const {
  const std::string& name = requested.empty() ? default_function_ : requested;
  if (std::count(function_names_.begin(), function_names_.end(), name) == 0) {
    std::string names;
    for (const std::string& known : function_names_) names += (names.empty() ? "" : ", ") + known;
    return not_found("the model has no such function; it has: " + names, name);
  }
  const auto parse = [&]() -> Result<Function> {
    const mil::Function& message = impl_->model.ml_program->functions.at(name);
    Function function;
    function.name = name;
    function.opset = message.opset;
    COREML_DELEGATE_ASSIGN_OR_RETURN(function.inputs, parse_named_types(message.inputs));
    COREML_DELEGATE_ASSIGN_OR_RETURN(const mil::Block* block, find_specialization(message));
    // Constants borrow the messages, so they share the package's ownership.
    ValueParser values(impl_->folder, impl_);
    if (with_body) {
      BlockParser blocks(values, impl_->limits);
      COREML_DELEGATE_ASSIGN_OR_RETURN(function.body, blocks.parse_body(*block, function.inputs));
    } else {
      function.body.outputs.assign(block->outputs.begin(), block->outputs.end());
    }
    COREML_DELEGATE_ASSIGN_OR_RETURN(auto outputs, output_types(function.inputs, *block));
    COREML_DELEGATE_RETURN_IF_ERROR(parse_classifier(*block, values, &outputs, &function));
    COREML_DELEGATE_RETURN_IF_ERROR(parse_features(impl_->features_of(name), outputs, &function));
    function.stored_bytes = impl_->specification_bytes + values.weight_bytes();
    return function;
  };
  Result<Function> function = parse();
  if (!function.ok())
    return function.status().annotate("cannot read a function of the model", name);
  return function;
}

Result<Function> Package::function(const std::string& name) const {
  return read_function(name, /*with_body=*/true);
}

Result<Function> Package::function_signature(const std::string& name) const {
  return read_function(name, /*with_body=*/false);
}

}  // namespace coreml_delegate::model
