#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_VALUE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_VALUE_H_

// What a name of a MIL program stands for while its function is translated: a constant of the
// program, a value of the OpenVINO graph, a state, or a list. Values are cheap to copy.
//
// Thread rule: values of one translation, used by the thread that translates.

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "openvino/core/node_output.hpp"
#include "runtime/model/program.h"

namespace ov {
class Node;
}

namespace coreml_delegate::engine::portable {

// One output of one node of the graph being built.
using Output = ov::Output<ov::Node>;

// A MIL list: its elements stacked along a new first axis. Lists are values: list_write makes a new
// one.
struct ListValue {
  Output elements;                // [length, *element shape], in the element's runtime type.
  model::ValueType element_type;  // The MIL type of one element.
  bool grows = true;              // Whether a write behind its end makes it longer.
};

// The name of a state of the function: what a `state` input stands for. Its current value is in the
// environment.
struct StateReference {
  std::string name;
};

class Value {
 public:
  Value() = default;
  Value(Output output, model::ElementType element) : element_(element), kind_(std::move(output)) {}
  explicit Value(model::ConstantPtr constant)
      : element_(constant->type.element), kind_(std::move(constant)) {}
  explicit Value(StateReference state) : kind_(std::move(state)) {}
  explicit Value(ListValue list) : kind_(std::move(list)) {}

  bool is_empty() const { return std::holds_alternative<std::monostate>(kind_); }
  // A value of the graph; it may still be computable now (OpContext::constant() folds).
  const Output* output() const { return std::get_if<Output>(&kind_); }
  // A constant as the program has it.
  model::ConstantPtr constant() const {
    const auto* pointer = std::get_if<model::ConstantPtr>(&kind_);
    return pointer == nullptr ? nullptr : *pointer;
  }
  const StateReference* state() const { return std::get_if<StateReference>(&kind_); }
  const ListValue* list() const { return std::get_if<ListValue>(&kind_); }

  // The MIL element type of a constant or graph value; kInvalid for states and lists.
  model::ElementType element() const { return element_; }

 private:
  model::ElementType element_ = model::ElementType::kInvalid;
  std::variant<std::monostate, Output, model::ConstantPtr, StateReference, ListValue> kind_;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_VALUE_H_
