// read_state, write_state, coreml_update_state. A state is a value of the environment: a read gives
// the current one, a write replaces it for what follows; the last one leaves the graph as an
// output.

#include "runtime/engine/portable/environment.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

std::string state_name(OpContext& op, std::string_view parameter) {
  const Value value = op.value(parameter);
  if (value.state() == nullptr)
    op.fail("the argument \"" + std::string(parameter) + "\" must be a state");
  return value.state()->name;
}

Output write(OpContext& op, std::string_view state_parameter, std::string_view value_parameter) {
  const std::string name = state_name(op, state_parameter);
  const model::ValueType& type = op.environment().scope().state_types.at(name);
  const Output value = op.input(value_parameter);
  op.require(op.element(value_parameter) == type.element &&
                 value.get_partial_shape().compatible(partial_shape(type)),
             "the value does not have the state's type " + type.to_string());
  const Output stored = is_static(value) ? value : reshape(value, type.shape);
  op.environment().write_state(name, stored);
  return stored;
}

OpResults translate_read_state(OpContext& op) {
  return op.environment().read_state(state_name(op, "input"));
}

OpResults translate_write_state(OpContext& op) {
  write(op, "input", "data");
  return OpResults();
}

OpResults translate_update_state(OpContext& op) { return write(op, "state", "value"); }

}  // namespace

OpTable state_ops() {
  static constexpr OpEntry kOps[] = {
      {"coreml_update_state", translate_update_state, Rounding::kNone},
      {"read_state", translate_read_state, Rounding::kNone},
      {"write_state", translate_write_state, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
