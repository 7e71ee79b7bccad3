#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ENVIRONMENT_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ENVIRONMENT_H_

// The names of one block while it is translated. The function's block has no parent; the block of a
// cond or while_loop becomes a graph of its own (the body of an ov If or Loop), so a value of an
// outer block that it uses is captured: a parameter of the body stands for it, and the operation
// connects the two. States thread through: each environment knows the current value of the states
// it has used, and an inner one says which it changed.
//
// Everything here throws OpError. Thread rule: used by the thread that translates.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "openvino/op/parameter.hpp"
#include "runtime/engine/portable/op_registry.h"
#include "runtime/engine/portable/translator.h"
#include "runtime/engine/portable/value.h"

namespace coreml_delegate::engine::portable {

// What all environments of one translation share.
struct TranslationScope {
  const model::Function* function = nullptr;
  const TranslateOptions* options = nullptr;
  Opset opset = Opset::kCoreML5;
  std::map<std::string, model::ValueType, std::less<>> state_types;  // The wrapped tensors.
  std::map<std::string, Origin, std::less<>> origins;
  int depth = 0;  // Of nested blocks.

  // The wanted friendly name, or the next that no node has; and what the node stands for.
  void name_node(ov::Node* node, const std::string& wanted, const Origin& origin);
};

class Environment {
 public:
  // A value of the parent that the body uses: `parameter` stands for `outer` inside.
  struct Capture {
    std::string name;  // Of a value; "" where it is a state's.
    std::string state;
    Output outer;
    std::shared_ptr<ov::op::v0::Parameter> parameter;
  };

  enum class Kind {
    kGraph,   // The function, or the body of an If or Loop: a graph of its own.
    kInline,  // A block whose nodes join the parent's graph: nothing is captured, states are the
              // parent's.
  };

  Environment(TranslationScope& scope, Environment* parent, Kind kind = Kind::kGraph)
      : scope_(scope), parent_(parent), inline_(kind == Kind::kInline) {}
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  TranslationScope& scope() { return scope_; }

  // Defines a name of this block; a name that is there already fails.
  void define(const std::string& name, Value value);
  // The value of a name, captured from the parent when need be. Fails for a name that nobody
  // defined.
  Value lookup(const std::string& name);
  // As a node of this block's graph. `what` names the value in the failure when it cannot be one (a
  // string, a list, a state).
  Output materialize(const Value& value, std::string_view what);

  Output read_state(const std::string& name);
  // The value of a state when the function or the body begins.
  void define_state(const std::string& name, Output value);
  void write_state(const std::string& name, Output value);
  // The states written in this block or in blocks inside it, with their current values.
  const std::map<std::string, Output, std::less<>>& written_states() const { return written_; }

  // Translates the operations of a block into this environment.
  void run(const model::Block& block);

  const std::vector<Capture>& captures() const { return captures_; }

 private:
  void translate_operation(const model::Operation& operation);
  void define_results(const model::Operation& operation, const OpEntry& entry,
                      const OpResults& results);
  Output finish(const model::Operation& operation, const model::NamedType& declared, Output output,
                Rounding rounding);
  void name_nodes(const model::Operation& operation, const Output& output, const std::string& name);

  TranslationScope& scope_;
  Environment* parent_;
  const bool inline_;
  std::map<std::string, Value, std::less<>> values_;
  std::map<const model::Constant*, Output> constant_nodes_;
  std::vector<model::ConstantPtr> kept_constants_;  // The keys above, alive.
  std::map<std::string, Output, std::less<>> states_;
  std::map<std::string, Output, std::less<>> written_;
  std::vector<Capture> captures_;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ENVIRONMENT_H_
