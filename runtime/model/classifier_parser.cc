#include "runtime/model/classifier_parser.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace coreml_delegate::model {

namespace {

constexpr char kOperation[] = "classify";

// The one argument of a parameter; corrupt_data where there is none or several.
Result<const mil::Binding*> argument(const mil::Operation& operation,
                                     const std::string& parameter) {
  const auto found = operation.inputs.find(parameter);
  if (found == operation.inputs.end() || found->second.arguments.size() != 1) {
    return corrupt_data("classify must have exactly one argument for this parameter", parameter);
  }
  return &found->second.arguments[0];
}

const mil::Operation* defining_operation(const mil::Block& block, const std::string& name) {
  for (const mil::Operation& operation : block.operations) {
    for (const mil::NamedValueType& output : operation.outputs) {
      if (output.name == name) return &operation;
    }
  }
  return nullptr;
}

// In place, or the value of a constant of the block.
Result<ConstantPtr> constant_argument(const mil::Block& block, ValueParser& values,
                                      const mil::Binding& binding) {
  if (binding.value != nullptr) return values.parse(*binding.value);
  const std::string name = binding.name.value_or("");
  const mil::Operation* const operation = defining_operation(block, name);
  if (operation != nullptr && operation->type == "const") {
    const auto found = operation->attributes.find("val");
    if (found != operation->attributes.end()) return values.parse(found->second);
  }
  return corrupt_data("the classes are not a constant", name);
}

Result<ValueType> type_of(const mil::Block& block, const Function& function,
                          const std::string& name) {
  for (const NamedType& input : function.inputs) {
    if (input.name == name) return input.type;
  }
  if (const mil::Operation* const operation = defining_operation(block, name)) {
    for (const mil::NamedValueType& output : operation->outputs) {
      if (output.name == name) return parse_type(output.type);
    }
  }
  return corrupt_data("classify reads a value that is not defined", name);
}

// The classes, from a list of strings or of int64 numbers.
Status read_classes(const Constant& constant, Classifier* classifier) {
  if (constant.type.kind != ValueType::Kind::kList || constant.items.empty()) {
    return corrupt_data("the classes are not a list", constant.type.to_string());
  }
  for (const Constant& item : constant.items) {
    const bool is_string = item.type.element == ElementType::kString;
    if (item.type.kind != ValueType::Kind::kTensor || item.type.unknown_rank ||
        item.type.element_count() != 1 ||
        (!is_string && item.type.element != ElementType::kInt64) ||
        (is_string ? !classifier->numbers.empty() : !classifier->names.empty())) {
      return corrupt_data("a class is neither a string nor an int64 number, as all classes must be",
                          item.type.to_string());
    }
    if (is_string) {
      classifier->names.push_back(item.strings[0]);
    } else {
      classifier->numbers.push_back(item.integer_at(0));
    }
  }
  return {};
}

bool uses(const Block& block, const Operation& except, const std::string& name) {
  for (const Operation& operation : block.operations) {
    if (&operation == &except) continue;
    for (const auto& [parameter, arguments] : operation.inputs) {
      for (const Argument& argument : arguments) {
        if (argument.name == name) return true;
      }
    }
    for (const Block& nested : operation.blocks) {
      if (std::count(nested.outputs.begin(), nested.outputs.end(), name) != 0 ||
          uses(nested, except, name)) {
        return true;
      }
    }
  }
  return false;
}

// Puts the probabilities in the place of the operation's outputs.
Status take_out(const Classifier& classifier, const ValueType& type, Block* body) {
  std::erase(body->outputs, classifier.label);
  for (Operation& operation : body->operations) {
    if (operation.type != kOperation) continue;
    for (const std::string* name : {&classifier.label, &classifier.probabilities}) {
      if (uses(*body, operation, *name)) {
        return corrupt_data("a result of classify is used by another operation", *name);
      }
    }
    const std::vector<Argument> probabilities = operation.inputs["probabilities"];
    operation.type = "identity";
    operation.inputs = {{"x", probabilities}};
    operation.outputs = {{classifier.probabilities, type}};
  }
  return {};
}

}  // namespace

Status parse_classifier(const mil::Block& block, ValueParser& values,
                        std::unordered_map<std::string, ValueType>* outputs, Function* function) {
  const mil::Operation* found = nullptr;
  for (const mil::Operation& operation : block.operations) {
    if (operation.type != kOperation) continue;
    if (found != nullptr) return corrupt_data("the function has more than one classify");
    found = &operation;
  }
  if (found == nullptr) return {};

  if (found->outputs.size() != 2 || !found->blocks.empty()) {
    return corrupt_data("classify must have two outputs");
  }
  Classifier classifier;
  classifier.label = found->outputs[0].name;
  classifier.probabilities = found->outputs[1].name;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const mil::Binding* const probabilities,
                                   argument(*found, "probabilities"));
  if (probabilities->value != nullptr) {
    return unsupported("classify reads its probabilities from a constant, which is not supported",
                       classifier.label);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(ValueType type,
                                   type_of(block, *function, probabilities->name.value_or("")));
  if (type.kind != ValueType::Kind::kTensor || !is_float(type.element)) {
    return corrupt_data("the probabilities are not a floating-point tensor", type.to_string());
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const mil::Binding* const classes, argument(*found, "classes"));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const ConstantPtr constant,
                                   constant_argument(block, values, *classes));
  COREML_DELEGATE_RETURN_IF_ERROR(read_classes(*constant, &classifier));
  if (type.is_static() && static_cast<uint64_t>(type.element_count()) != classifier.size()) {
    return corrupt_data(
        "there are " + std::to_string(classifier.size()) + " classes for " + type.to_string(),
        classifier.probabilities);
  }
  outputs->erase(classifier.label);
  if (const auto output = outputs->find(classifier.probabilities); output != outputs->end()) {
    output->second = type;
  }
  COREML_DELEGATE_RETURN_IF_ERROR(take_out(classifier, type, &function->body));
  function->classifier = std::move(classifier);
  return {};
}

}  // namespace coreml_delegate::model
