// cond, while_loop, select. A block becomes the body of an ov If or Loop; what it uses from outside
// and the states it touches go in as inputs, its results and the states it changes come out.

#include <set>

#include "openvino/core/model.hpp"
#include "openvino/op/if.hpp"
#include "openvino/op/logical_and.hpp"
#include "openvino/op/logical_not.hpp"
#include "openvino/op/logical_or.hpp"
#include "openvino/op/loop.hpp"
#include "openvino/op/result.hpp"
#include "openvino/op/select.hpp"
#include "runtime/engine/portable/environment.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

using Parameters = std::vector<std::shared_ptr<ov::op::v0::Parameter>>;
using Results = std::vector<std::shared_ptr<ov::op::v0::Result>>;

// A value of a block as a graph value of the type that the operation declares for it.
Output as_node(Environment& environment, const Value& value, const std::string& name,
               const model::ValueType& declared) {
  if (const ListValue* list = value.list()) return list->elements;
  const Output node = environment.materialize(value, name);
  return declared.kind == model::ValueType::Kind::kTensor
             ? convert(node, runtime_type(declared.element))
             : node;
}

Output scalar_condition(const Output& value) {
  const Output condition = convert(value, ov::element::boolean);
  return rank(condition) == 0 ? condition : reshape(condition, std::vector<int64_t>{});
}

bool grows(const Value& value) { return value.list() == nullptr || value.list()->grows; }

// An output of the If or Loop as a value of the program; `source` is what it comes from inside.
void push_result(OpResults& results, const Output& output, const model::ValueType& type,
                 const Value& source) {
  if (type.kind == model::ValueType::Kind::kList) {
    results.push_back(Value(ListValue{
        output, type.members.empty() ? model::ValueType() : type.members[0], grows(source)}));
  } else {
    results.push_back(output);
  }
}

OpResults translate_cond(OpContext& op) {
  const std::vector<model::Block>& blocks = op.operation().blocks;
  op.require(blocks.size() == 2, "a cond must have two blocks");
  const Output condition = scalar_condition(op.input("pred"));
  Environment& outside = op.environment();
  Environment then_environment(outside.scope(), &outside);
  Environment else_environment(outside.scope(), &outside);
  Environment* const branches[] = {&then_environment, &else_environment};
  std::vector<ov::OutputVector> values(2);
  for (size_t branch = 0; branch < 2; ++branch) {
    const model::Block& block = blocks[branch];
    op.require(block.inputs.empty(), "the blocks of a cond must not have inputs");
    op.require(block.outputs.size() == op.output_count(),
               "the blocks of a cond have another number of outputs than the cond");
    branches[branch]->run(block);
    for (size_t i = 0; i < block.outputs.size(); ++i) {
      const std::string& name = block.outputs[i];
      values[branch].push_back(
          as_node(*branches[branch], branches[branch]->lookup(name), name, op.output_type(i)));
    }
  }
  // A state that one branch changes leaves both.
  std::set<std::string> written;
  for (const Environment* branch : branches) {
    for (const auto& [name, value] : branch->written_states()) written.insert(name);
  }
  std::vector<Results> results(2);
  for (size_t branch = 0; branch < 2; ++branch) {
    for (const std::string& name : written)
      values[branch].push_back(branches[branch]->read_state(name));
    for (const Output& value : values[branch])
      results[branch].push_back(std::make_shared<ov::op::v0::Result>(value));
  }
  auto node = std::make_shared<ov::op::v8::If>(condition);
  for (size_t branch = 0; branch < 2; ++branch) {
    Parameters parameters;
    for (const Environment::Capture& capture : branches[branch]->captures())
      parameters.push_back(capture.parameter);
    auto body = std::make_shared<ov::Model>(results[branch], parameters);
    if (branch == 0) {
      node->set_then_body(body);
    } else {
      node->set_else_body(body);
    }
  }
  for (const Environment::Capture& capture : then_environment.captures()) {
    node->set_input(capture.outer, capture.parameter, nullptr);
  }
  for (const Environment::Capture& capture : else_environment.captures()) {
    node->set_input(capture.outer, nullptr, capture.parameter);
  }
  ov::OutputVector outputs;
  for (size_t i = 0; i < results[0].size(); ++i)
    outputs.push_back(node->set_output(results[0][i], results[1][i]));
  OpResults translated;
  for (size_t i = 0; i < op.output_count(); ++i) {
    push_result(translated, outputs[i], op.output_type(i),
                then_environment.lookup(blocks[0].outputs[i]));
  }
  size_t next = op.output_count();
  for (const std::string& name : written) outside.write_state(name, outputs[next++]);
  return translated;
}

// The parameter that stands for a loop variable inside the body: of the declared shape, since that
// holds in every round.
std::shared_ptr<ov::op::v0::Parameter> loop_parameter(const Output& initial,
                                                      const model::ValueType& declared,
                                                      bool list_grows) {
  ov::PartialShape shape = initial.get_partial_shape();
  if (declared.kind == model::ValueType::Kind::kList) {
    // Lists may grow; their elements may take their extents from what is written first.
    if (shape.rank().is_static() && shape.size() > 0) {
      if (list_grows) shape[0] = ov::Dimension::dynamic();
      const model::ValueType element =
          declared.members.empty() ? model::ValueType() : declared.members[0];
      for (size_t i = 1; i < shape.size(); ++i) {
        const bool fixed = i - 1 < element.shape.size() && element.shape[i - 1] >= 0;
        if (!fixed) shape[i] = ov::Dimension::dynamic();
      }
    }
  } else {
    shape = partial_shape(declared);
  }
  return std::make_shared<ov::op::v0::Parameter>(initial.get_element_type(), shape);
}

Value body_value(const std::shared_ptr<ov::op::v0::Parameter>& parameter,
                 const model::ValueType& type, bool list_grows) {
  if (type.kind == model::ValueType::Kind::kList) {
    return Value(ListValue{parameter->output(0),
                           type.members.empty() ? model::ValueType() : type.members[0],
                           list_grows});
  }
  return Value(parameter->output(0), type.element);
}

// The condition block in `parent`'s graph, its inputs standing for `variables`.
Output condition_of(OpContext& op, const model::Block& block, Environment& parent,
                    const std::vector<Value>& variables) {
  op.require(block.inputs.size() == variables.size() && block.outputs.size() == 1,
             "the condition block of a while_loop must have the loop variables as inputs and one "
             "value as output");
  Environment environment(parent.scope(), &parent, Environment::Kind::kInline);
  for (size_t i = 0; i < variables.size(); ++i)
    environment.define(block.inputs[i].name, variables[i]);
  environment.run(block);
  const Value value = environment.lookup(block.outputs[0]);
  return scalar_condition(environment.materialize(value, block.outputs[0]));
}

OpResults translate_while_loop(OpContext& op) {
  const std::vector<model::Block>& blocks = op.operation().blocks;
  const size_t count = op.count("loop_vars");
  op.require(blocks.size() == 2 && count > 0,
             "a while_loop must have loop variables, a condition block and a body block");
  const model::Block& body_block = blocks[1];
  op.require(body_block.inputs.size() == count && body_block.outputs.size() == count &&
                 op.output_count() == count,
             "the body of a while_loop must have the loop variables as inputs and as outputs");
  Environment& outside = op.environment();

  ov::OutputVector initial;
  std::vector<Value> initial_values;
  for (size_t i = 0; i < count; ++i) {
    const Value value = op.value("loop_vars", i);
    const model::NamedType& declared = body_block.inputs[i];
    initial.push_back(as_node(outside, value, declared.name, declared.type));
    initial_values.push_back(value);
  }
  const Output first_condition = condition_of(op, blocks[0], outside, initial_values);

  Environment body(outside.scope(), &outside);
  Parameters variables;
  for (size_t i = 0; i < count; ++i) {
    const model::NamedType& declared = body_block.inputs[i];
    const bool list_grows = grows(initial_values[i]);
    variables.push_back(loop_parameter(initial[i], declared.type, list_grows));
    body.define(declared.name, body_value(variables[i], declared.type, list_grows));
  }
  body.run(body_block);
  std::vector<Value> next_values;
  Results results;
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = body_block.outputs[i];
    next_values.push_back(body.lookup(name));
    results.push_back(std::make_shared<ov::op::v0::Result>(
        as_node(body, next_values[i], name, body_block.inputs[i].type)));
  }
  const Output condition = condition_of(op, blocks[0], body, next_values);
  // After everything that may capture. A state that the body only reads stays what it was.
  struct WrittenState {
    std::string name;
    std::shared_ptr<ov::op::v0::Result> result;
  };
  std::vector<WrittenState> written;
  for (const auto& [name, value] : body.written_states()) {
    written.push_back({name, std::make_shared<ov::op::v0::Result>(value)});
  }
  Parameters parameters = variables;
  for (const Environment::Capture& capture : body.captures())
    parameters.push_back(capture.parameter);
  auto condition_result = std::make_shared<ov::op::v0::Result>(condition);
  Results body_results = {condition_result};
  body_results.insert(body_results.end(), results.begin(), results.end());
  for (const WrittenState& state : written) body_results.push_back(state.result);

  auto loop = std::make_shared<ov::op::v5::Loop>(i64_scalar(-1), first_condition);
  loop->set_function(std::make_shared<ov::Model>(body_results, parameters));
  loop->set_special_body_ports({-1, 0});
  for (size_t i = 0; i < count; ++i) loop->set_merged_input(variables[i], initial[i], results[i]);
  for (const Environment::Capture& capture : body.captures()) {
    std::shared_ptr<ov::op::v0::Result> next;
    for (const WrittenState& state : written) {
      if (!capture.state.empty() && state.name == capture.state) next = state.result;
    }
    if (next != nullptr) {
      loop->set_merged_input(capture.parameter, capture.outer, next);
    } else {
      loop->set_invariant_input(capture.parameter, capture.outer);
    }
  }
  OpResults translated;
  for (size_t i = 0; i < count; ++i) {
    push_result(translated, loop->get_iter_value(results[i], -1), op.output_type(i),
                initial_values[i]);
  }
  for (const WrittenState& state : written)
    outside.write_state(state.name, loop->get_iter_value(state.result, -1));
  loop->validate_and_infer_types();
  return translated;
}

OpResults translate_select(OpContext& op) {
  const Output condition = convert(op.input("cond"), ov::element::boolean);
  const Output a = op.input("a");
  const Output b = op.input("b");
  if (a.get_element_type() == ov::element::boolean &&
      b.get_element_type() == ov::element::boolean) {
    // OpenVINO's CPU plugin makes 8-bit integers of what is selected but not of the condition, so
    // that one tensor which is both would need two types.
    const Output otherwise = make<ov::op::v1::LogicalNot>(condition);
    return make<ov::op::v1::LogicalOr>(make<ov::op::v1::LogicalAnd>(condition, a),
                                       make<ov::op::v1::LogicalAnd>(otherwise, b));
  }
  return make<ov::op::v1::Select>(condition, a, b);
}

}  // namespace

OpTable control_flow_ops() {
  static constexpr OpEntry kOps[] = {
      {"cond", translate_cond, Rounding::kNone},
      {"select", translate_select, Rounding::kNone},
      {"while_loop", translate_while_loop, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
