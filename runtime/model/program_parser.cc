#include "runtime/model/program_parser.h"

#include <utility>

namespace coreml_delegate::model {

namespace {

std::string label_of(const mil::Operation& operation) {
  return operation.type + " -> " +
         (operation.outputs.empty() ? "(no output)" : operation.outputs[0].name);
}

}  // namespace

Result<const mil::Block*> find_specialization(const mil::Function& function) {
  const auto found = function.block_specializations.find(function.opset);
  if (found == function.block_specializations.end()) {
    return corrupt_data("the function has no block for its opset \"" + function.opset + "\"");
  }
  return &found->second;
}

Result<std::vector<NamedType>> parse_named_types(const std::vector<mil::NamedValueType>& types) {
  std::vector<NamedType> result;
  result.reserve(types.size());
  for (const mil::NamedValueType& named : types) {
    if (named.name.empty()) return corrupt_data("a value has no name");
    Result<ValueType> type = parse_type(named.type);
    if (!type.ok()) return type.status().annotate("cannot read the type of a value", named.name);
    result.push_back({named.name, *std::move(type)});
  }
  return result;
}

Result<std::unordered_map<std::string, ValueType>> output_types(
    const std::vector<NamedType>& inputs, const mil::Block& block) {
  std::unordered_map<std::string, ValueType> result;
  std::unordered_set<std::string_view> wanted(block.outputs.begin(), block.outputs.end());
  for (const NamedType& input : inputs) {
    if (wanted.contains(input.name)) result.emplace(input.name, input.type);
  }
  for (const mil::Operation& operation : block.operations) {
    for (const mil::NamedValueType& output : operation.outputs) {
      if (!wanted.contains(output.name)) continue;
      Result<ValueType> type = parse_type(output.type);
      if (!type.ok())
        return type.status().annotate("cannot read the type of an output", output.name);
      result.emplace(output.name, *std::move(type));
    }
  }
  return result;
}

Result<Block> BlockParser::parse_body(const mil::Block& block,
                                      const std::vector<NamedType>& inputs) {
  for (const NamedType& input : inputs) COREML_DELEGATE_RETURN_IF_ERROR(define(input.name));
  return parse_block(block, 0);
}

Status BlockParser::define(const std::string& name) {
  if (name.empty()) return corrupt_data("a value has no name");
  // The view refers to the message, or to the caller's inputs: both outlive this parser.
  if (!visible_.insert(name).second) return corrupt_data("the name is defined twice", name);
  scope_.push_back(name);
  return {};
}

Result<Block> BlockParser::parse_block(const mil::Block& block, int depth) {
  if (depth > limits_.max_block_depth) {
    return corrupt_data("blocks are nested deeper than " + std::to_string(limits_.max_block_depth));
  }
  const size_t outer = scope_.size();
  Block result;
  COREML_DELEGATE_ASSIGN_OR_RETURN(result.inputs, parse_named_types(block.inputs));
  for (const mil::NamedValueType& input : block.inputs)
    COREML_DELEGATE_RETURN_IF_ERROR(define(input.name));

  operations_ += block.operations.size();
  if (operations_ > limits_.max_operations) {
    return corrupt_data("the function has more than " + std::to_string(limits_.max_operations) +
                        " operations");
  }
  result.operations.reserve(block.operations.size());
  for (const mil::Operation& operation : block.operations) {
    Result<Operation> parsed = parse_operation(operation, depth);
    if (!parsed.ok())
      return parsed.status().annotate("cannot read an operation", label_of(operation));
    result.operations.push_back(*std::move(parsed));
  }
  for (const std::string& output : block.outputs) {
    if (!visible_.contains(output)) {
      return corrupt_data("an output of a block is not defined", output);
    }
    result.outputs.push_back(output);
  }

  for (size_t i = outer; i < scope_.size(); ++i) visible_.erase(scope_[i]);
  scope_.resize(outer);
  return result;
}

Result<Operation> BlockParser::parse_operation(const mil::Operation& operation, int depth) {
  Operation result;
  result.type = operation.type;
  if (result.type.empty()) return corrupt_data("an operation has no type");

  for (const auto& [name, argument] : operation.inputs) {
    std::vector<Argument>& arguments = result.inputs[name];
    arguments.reserve(argument.arguments.size());
    for (const mil::Binding& binding : argument.arguments) {
      Result<Argument> parsed = parse_binding(binding);
      if (!parsed.ok()) return parsed.status().annotate("cannot read an argument", name);
      arguments.push_back(*std::move(parsed));
    }
  }
  for (const auto& [name, value] : operation.attributes) {
    if (name == "name") continue;
    Result<ConstantPtr> parsed = values_.parse(value);
    if (!parsed.ok()) return parsed.status().annotate("cannot read an attribute", name);
    result.attributes.emplace(name, *std::move(parsed));
  }
  // Before the outputs are defined: a block cannot use the result of the operation it belongs to.
  for (const mil::Block& block : operation.blocks) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(Block parsed, parse_block(block, depth + 1));
    result.blocks.push_back(std::move(parsed));
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(result.outputs, parse_named_types(operation.outputs));
  for (const mil::NamedValueType& output : operation.outputs) {
    COREML_DELEGATE_RETURN_IF_ERROR(define(output.name));
  }
  return result;
}

Result<Argument> BlockParser::parse_binding(const mil::Binding& binding) {
  Argument result;
  if (binding.name) {
    if (!visible_.contains(*binding.name)) {
      return corrupt_data("the value is used before it is defined", *binding.name);
    }
    result.name = *binding.name;
    return result;
  }
  if (binding.value != nullptr) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(result.value, values_.parse(*binding.value));
    return result;
  }
  return corrupt_data("an argument is neither a name nor a value");
}

}  // namespace coreml_delegate::model
