#include "runtime/engine/portable/environment.h"

#include <new>
#include <sstream>
#include <utility>

#include "openvino/core/except.hpp"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/op_error.h"
#include "runtime/engine/portable/round_to_half.h"

namespace coreml_delegate::engine::portable {
namespace {

// Blocks nested deeper than this are refused: translation and OpenVINO's own passes recurse.
constexpr int kMaxBlockDepth = 32;
// A captured value that can be computed now is copied into the body when it is at most this large.
constexpr size_t kMaxFoldedCapture = 4096;

// Larger tensors are refused: none that a model means, and folding one would take all memory.
constexpr uint64_t kMaxElements = uint64_t{1} << 31;

std::string describe(const model::Operation& operation, const TranslationScope& scope) {
  return operation.type + " -> " + operation.label() + " (" + scope.function->opset + ")";
}

// OpenVINO's messages carry source lines and node dumps; people need the sentence.
std::string sentence_of(const std::exception& error) {
  std::string text = error.what();
  std::istringstream lines(text);
  std::string line;
  std::string kept;
  while (std::getline(lines, line)) {
    if (line.empty() || line.starts_with("Exception from ") || line.starts_with("Check '") ||
        line.starts_with("While validating node")) {
      // "Check 'condition' failed at file:line:" says where, not what; keep it only when there is
      // nothing else.
      continue;
    }
    if (!kept.empty()) kept += ' ';
    kept += line;
  }
  if (kept.empty()) kept = std::move(text);
  constexpr size_t kLimit = 600;
  if (kept.size() > kLimit) kept = kept.substr(0, kLimit) + "...";
  return kept;
}

}  // namespace

void Environment::define(const std::string& name, Value value) {
  if (!values_.emplace(name, std::move(value)).second) {
    throw OpError(
        corrupt_data("the value \"" + name + "\" is defined twice", scope_.function->name));
  }
}

Value Environment::lookup(const std::string& name) {
  if (auto it = values_.find(name); it != values_.end()) return it->second;
  if (parent_ == nullptr) {
    throw OpError(
        corrupt_data("the value \"" + name + "\" is used but not defined", scope_.function->name));
  }
  Value outer = parent_->lookup(name);
  if (inline_) return outer;
  auto capture = [&](const Output& output) {
    auto parameter = std::make_shared<ov::op::v0::Parameter>(output.get_element_type(),
                                                             output.get_partial_shape());
    captures_.push_back({name, "", output, parameter});
    return parameter->output(0);
  };
  Value inner = outer;
  if (const Output* output = outer.output()) {
    std::shared_ptr<ov::op::v0::Constant> known = fold(*output, kMaxFoldedCapture);
    inner = Value(known != nullptr ? std::make_shared<ov::op::v0::Constant>(*known)->output(0)
                                   : capture(*output),
                  outer.element());
  } else if (const ListValue* list = outer.list()) {
    inner = Value(ListValue{capture(list->elements), list->element_type});
  }
  values_.emplace(name, inner);
  return inner;
}

Output Environment::materialize(const Value& value, std::string_view what) {
  if (const Output* output = value.output()) return *output;
  if (model::ConstantPtr constant = value.constant()) {
    auto it = constant_nodes_.find(constant.get());
    if (it == constant_nodes_.end()) {
      it = constant_nodes_.emplace(constant.get(), constant_node(*constant)).first;
      kept_constants_.push_back(constant);
    }
    return it->second;
  }
  throw OpError(corrupt_data("\"" + std::string(what) + "\" must be a tensor"));
}

Output Environment::read_state(const std::string& name) {
  if (auto it = states_.find(name); it != states_.end()) return it->second;
  if (parent_ == nullptr)
    throw OpError(corrupt_data("there is no state \"" + name + "\"", scope_.function->name));
  Output outer = parent_->read_state(name);
  if (inline_) return outer;
  auto parameter =
      std::make_shared<ov::op::v0::Parameter>(outer.get_element_type(), outer.get_partial_shape());
  captures_.push_back({"", name, outer, parameter});
  states_.emplace(name, parameter->output(0));
  return parameter->output(0);
}

void Environment::define_state(const std::string& name, Output value) {
  states_[name] = std::move(value);
}

void Environment::write_state(const std::string& name, Output value) {
  if (inline_) {
    parent_->write_state(name, std::move(value));
    return;
  }
  read_state(name);  // Fails for an unknown one; captures it, so that a path that does not write
                     // has the old value.
  states_[name] = value;
  written_[name] = std::move(value);
}

void Environment::run(const model::Block& block) {
  if (++scope_.depth > kMaxBlockDepth) {
    throw OpError(
        corrupt_data("blocks are nested deeper than " + std::to_string(kMaxBlockDepth) + " levels",
                     scope_.function->name));
  }
  for (const model::Operation& operation : block.operations) {
    if (scope_.options->is_cancelled && scope_.options->is_cancelled()) {
      throw OpError(cancelled("translation was cancelled", scope_.function->name));
    }
    translate_operation(operation);
  }
  --scope_.depth;
}

void Environment::translate_operation(const model::Operation& operation) {
  const std::string artifact = describe(operation, scope_);
  try {
    if (operation.type == "const") {
      auto it = operation.attributes.find("val");
      if (it == operation.attributes.end() || it->second == nullptr ||
          operation.outputs.size() != 1) {
        throw OpError(corrupt_data("a const needs the attribute \"val\" and one output"));
      }
      define(operation.outputs[0].name, Value(it->second));
      return;
    }
    const OpEntry* entry = find_op(operation.type);
    if (entry == nullptr) {
      throw OpError(unsupported("the portable engine has no operation \"" + operation.type + "\""));
    }
    OpContext context(operation, *this);
    define_results(operation, *entry, entry->handler(context));
  } catch (const OpError& error) {
    if (!error.status().artifact().empty()) throw;
    throw OpError(error.status().annotate("cannot translate the operation", artifact));
  } catch (const ov::NodeValidationFailure& error) {
    throw OpError(
        corrupt_data("the operation's arguments do not fit: " + sentence_of(error), artifact));
  } catch (const ov::Exception& error) {
    throw OpError(unsupported("OpenVINO refuses the operation: " + sentence_of(error), artifact));
  } catch (const std::bad_alloc&) {
    throw OpError(
        resource_exhausted("memory ran out while the operation was translated", artifact));
  } catch (const std::exception& error) {
    throw OpError(
        corrupt_data("the operation's arguments do not fit: " + sentence_of(error), artifact));
  }
}

void Environment::define_results(const model::Operation& operation, const OpEntry& entry,
                                 const OpResults& results) {
  if (results.items().size() < operation.outputs.size()) {
    throw OpError(corrupt_data("the operation has " + std::to_string(results.items().size()) +
                               " outputs, but the program needs " +
                               std::to_string(operation.outputs.size())));
  }
  for (size_t i = 0; i < operation.outputs.size(); ++i) {
    const OpResults::Item& item = results.items()[i];
    const model::NamedType& declared = operation.outputs[i];
    if (!item.value.is_empty()) {
      if (const Output* output = item.value.output()) name_nodes(operation, *output, declared.name);
      if (const ListValue* list = item.value.list())
        name_nodes(operation, list->elements, declared.name);
      define(declared.name, item.value);
      continue;
    }
    Output output = finish(operation, declared, item.output, entry.rounding);
    define(declared.name, Value(output, declared.type.element));
  }
}

Output Environment::finish(const model::Operation& operation, const model::NamedType& declared,
                           Output output, Rounding rounding) {
  if (declared.type.kind != model::ValueType::Kind::kTensor) {
    throw OpError(corrupt_data("the operation's output \"" + declared.name + "\" is declared " +
                               declared.type.to_string() + ", but the operation returns a tensor"));
  }
  output = convert(output, runtime_type(declared.type.element));
  // coremltools leaves the 0 of a reshape that keeps an extent in the declared type, so a 0 says
  // nothing.
  ov::PartialShape wanted = partial_shape(declared.type);
  if (wanted.rank().is_static()) {
    for (ov::Dimension& dimension : wanted) {
      if (dimension == ov::Dimension(0)) dimension = ov::Dimension::dynamic();
    }
  }
  const ov::PartialShape& given = output.get_partial_shape();
  if (!given.compatible(wanted)) {
    // Rank 0 and one element of rank 1 are the same to coremltools in several places.
    if (given.is_static() && wanted.is_static() &&
        ov::shape_size(given.to_shape()) == ov::shape_size(wanted.to_shape())) {
      output = reshape(output, declared.type.shape);
    } else {
      std::ostringstream message;
      message << "the operation returns the shape " << given << ", but the program declares "
              << declared.type.to_string();
      throw OpError(corrupt_data(message.str()));
    }
  } else if (given.is_dynamic() && wanted.is_static()) {
    // What is known here and not to OpenVINO keeps the rest of the graph static.
    output = reshape(output, declared.type.shape);
  }
  if (output.get_partial_shape().is_static() && element_count(output.get_shape()) > kMaxElements) {
    throw OpError(resource_exhausted(
        "the operation's output has the shape " + output.get_partial_shape().to_string() +
        ", which has more elements than the portable engine supports"));
  }
  if (rounding == Rounding::kRound && scope_.options->numeric_mode == NumericMode::kFloat16 &&
      declared.type.element == model::ElementType::kFloat16) {
    output = make<RoundToHalf>(output);
  }
  name_nodes(operation, output, declared.name);
  return output;
}

void TranslationScope::name_node(ov::Node* node, const std::string& wanted, const Origin& origin) {
  std::string unique = wanted;
  for (int i = 2; origins.contains(unique); ++i) unique = wanted + "#" + std::to_string(i);
  node->set_friendly_name(unique);
  origins.emplace(unique, origin);
}

void Environment::name_nodes(const model::Operation& operation, const Output& output,
                             const std::string& name) {
  // A node whose friendly name is not its automatic one has been named, and so has everything
  // before it.
  std::vector<std::pair<ov::Node*, std::string>> pending = {{output.get_node(), name}};
  while (!pending.empty()) {
    auto [node, wanted] = std::move(pending.back());
    pending.pop_back();
    if (node->get_friendly_name() != node->get_name()) continue;
    scope_.name_node(node, wanted, {operation.label(), operation.type});
    for (const Output& input : node->input_values()) {
      pending.emplace_back(input.get_node(),
                           operation.label() + "/" + input.get_node()->get_type_name());
    }
  }
}

}  // namespace coreml_delegate::engine::portable
