#include "blob/stock_metadata.h"

#include <set>
#include <utility>

#include "blob/json.h"
#include "blob/rules.h"

namespace coreml_delegate::blob {
namespace {

using nlohmann::json;

constexpr std::string_view kReferenceMagic = "CMJR";
constexpr char kReferenceName[] = "the reference";

// The list of names under `name`; none where it is missing.
Result<std::vector<TensorSpec>> name_list(const json& object, const char* name,
                                          const std::string& artifact) {
  std::vector<TensorSpec> tensors;
  const json* list = find_member(object, name);
  if (list == nullptr) return tensors;
  if (!list->is_array()) return corrupt_data(std::string(name) + " is not a list", artifact);
  if (list->size() > kMaxTensors) {
    return corrupt_data(std::string(name) + " has more than 65536 names", artifact);
  }
  std::set<std::string_view> seen;
  for (const json& element : *list) {
    if (!element.is_string()) {
      return corrupt_data(std::string(name) + " has an element that is not a string", artifact);
    }
    const auto& text = element.get_ref<const std::string&>();
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_name(text, std::string("a name in ") + name, StatusCode::kCorruptData));
    if (!seen.insert(text).second) {
      return corrupt_data(std::string(name) + " has the name '" + text + "' twice", artifact);
    }
    TensorSpec& tensor = tensors.emplace_back();
    tensor.name = text;
  }
  return tensors;
}

Result<Function> read_function(const json& object, const std::string& name) {
  const std::string artifact =
      name.empty() ? std::string(kStockMetadata) : "method " + name + " of " + kStockMetadata;
  if (!object.is_object()) return corrupt_data("the value is not a JSON object", artifact);
  Function function;
  function.name = name;
  function.method = name;
  COREML_DELEGATE_ASSIGN_OR_RETURN(function.inputs, name_list(object, "inputNames", artifact));
  COREML_DELEGATE_ASSIGN_OR_RETURN(function.outputs, name_list(object, "outputNames", artifact));
  return function;
}

// A member that is a name.
Result<std::string> name_member(const json& object, const char* member_name) {
  const json* member = find_member(object, member_name);
  if (member == nullptr || !member->is_string()) {
    return corrupt_data(std::string(kReferenceName) + " has no " + member_name);
  }
  const auto& text = member->get_ref<const std::string&>();
  COREML_DELEGATE_RETURN_IF_ERROR(check_name(
      text, std::string("the ") + member_name + " of the reference", StatusCode::kCorruptData));
  return text;
}

}  // namespace

Result<std::vector<Function>> parse_stock_metadata(ByteSpan metadata, std::string* identifier) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const json parsed,
                                   parse_json(as_text(metadata), kStockMetadata));
  if (!parsed.is_object()) return corrupt_data("the value is not a JSON object", kStockMetadata);
  if (identifier != nullptr) {
    const json* member = find_member(parsed, "identifier");
    *identifier = member != nullptr && member->is_string() ? member->get<std::string>() : "";
  }
  std::vector<Function> functions;
  const json* methods = find_member(parsed, "methods");
  if (methods == nullptr) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(functions.emplace_back(), read_function(parsed, ""));
    return functions;
  }
  if (!methods->is_object() || methods->empty()) {
    return corrupt_data("the file has a list of methods that is empty or not a JSON object",
                        kStockMetadata);
  }
  if (methods->size() > kMaxFunctions) {
    return corrupt_data("the file has more than 10000 methods", kStockMetadata);
  }
  for (const auto& [name, value] : methods->get_ref<const json::object_t&>()) {
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_name(name, "the name of a method in metadata.json", StatusCode::kCorruptData));
    COREML_DELEGATE_ASSIGN_OR_RETURN(functions.emplace_back(), read_function(value, name));
  }
  return functions;
}

bool is_stock_reference(ByteSpan bytes) { return as_text(bytes).starts_with(kReferenceMagic); }

Result<StockReference> parse_stock_reference(ByteSpan bytes) {
  std::string_view text = as_text(bytes).substr(kReferenceMagic.size());
  // As a flattened directory, it may be followed by NULs.
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const json parsed, parse_json(text, kReferenceName));
  if (!parsed.is_object()) return corrupt_data("the reference is not a JSON object");
  const json* version = find_member(parsed, "version");
  if (version == nullptr || !version->is_number_unsigned()) {
    return corrupt_data("the reference has no version");
  }
  if (const uint64_t number = version->get<uint64_t>(); number != 1) {
    return Status(StatusCode::kVersionTooNew,
                  "the stock reference has version " + std::to_string(number) +
                      ", and this runtime reads version 1; upgrade the Core ML delegate");
  }
  StockReference reference;
  COREML_DELEGATE_ASSIGN_OR_RETURN(reference.key, name_member(parsed, "key"));
  COREML_DELEGATE_ASSIGN_OR_RETURN(reference.function_name, name_member(parsed, "functionName"));
  return reference;
}

}  // namespace coreml_delegate::blob
