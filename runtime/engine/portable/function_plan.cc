#include "runtime/engine/portable/function_plan.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/engine/description_json.h"

namespace coreml_delegate::engine::portable {

namespace {

using Json = nlohmann::json;

}  // namespace

std::string to_json(const FunctionPlan& plan) {
  Json json = engine::to_json(plan.description);
  const auto add_ports = [&](const char* role, const std::vector<PortPlan>& plans) {
    for (size_t i = 0; i < plans.size(); ++i) {
      json[role][i]["index"] = plans[i].index;
      json[role][i]["is_scalar"] = plans[i].is_scalar;
    }
  };
  add_ports("inputs", plan.inputs);
  add_ports("outputs", plan.outputs);
  for (size_t i = 0; i < plan.states.size(); ++i) {
    Json& state = json["states"][i];
    state["buffer_type"] = static_cast<int>(plan.states[i].buffer_type);
    state["input_index"] = plan.states[i].input_index;
    if (plan.states[i].output_index.has_value())
      state["output_index"] = *plan.states[i].output_index;
  }
  Json operations = Json::object();
  for (const auto& [node, operation] : plan.operations) {
    operations[node] = Json::array({operation.output, operation.type});
  }
  json["operations"] = std::move(operations);
  // Names come from protobuf strings, which are UTF-8; anything else is replaced rather than thrown
  // about.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<FunctionPlan> function_plan_from_json(std::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  JsonReader reader;
  FunctionPlan plan;
  plan.description = reader.description(json);
  const auto ports = [&](const char* role, std::vector<PortPlan>* plans) {
    for (const Json& port : reader.array(json, role)) {
      plans->push_back({reader.index(port, "index"), reader.flag(port, "is_scalar")});
    }
  };
  ports("inputs", &plan.inputs);
  ports("outputs", &plan.outputs);
  for (const Json& state : reader.array(json, "states")) {
    StatePlan& state_plan = plan.states.emplace_back();
    state_plan.buffer_type = reader.data_type(state, "buffer_type");
    state_plan.input_index = reader.index(state, "input_index");
    if (state.is_object() && state.contains("output_index")) {
      state_plan.output_index = reader.index(state, "output_index");
    }
  }
  const Json& operations = reader.member(json, "operations");
  if (operations.is_object()) {
    for (const auto& [node, names] : operations.items()) {
      if (!names.is_array() || names.size() != 2 || !names[0].is_string() ||
          !names[1].is_string()) {
        return corrupt_data("the description of the compiled function has a malformed operation");
      }
      plan.operations.emplace(
          node, OperationName{names[0].get<std::string>(), names[1].get<std::string>()});
    }
  }
  if (!reader.ok()) {
    return corrupt_data("the description of the compiled function lacks a proper \"" +
                        reader.problem() + "\"");
  }
  return plan;
}

}  // namespace coreml_delegate::engine::portable
