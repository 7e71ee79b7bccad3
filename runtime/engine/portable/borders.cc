#include "runtime/engine/portable/borders.h"

#include <memory>
#include <utility>

#include "openvino/op/convert.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/result.hpp"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/model/description.h"

namespace coreml_delegate::engine::portable {

namespace {

template <typename Binding>
const Binding* find_binding(const std::vector<Binding>& bindings, const std::string& name) {
  for (const Binding& binding : bindings) {
    if (binding.name == name) return &binding;
  }
  return nullptr;
}

void convert_input(ov::Model& graph, size_t index, const ov::element::Type& type) {
  const auto old =
      std::dynamic_pointer_cast<ov::op::v0::Parameter>(graph.input(index).get_node_shared_ptr());
  if (old->get_element_type() == type) return;
  const auto parameter = std::make_shared<ov::op::v0::Parameter>(type, old->get_partial_shape());
  parameter->set_friendly_name(old->get_friendly_name());
  parameter->output(0).get_tensor().set_names(old->output(0).get_names());
  const auto consumers = old->output(0).get_target_inputs();
  const auto convert = std::make_shared<ov::op::v0::Convert>(parameter, old->get_element_type());
  for (ov::Input<ov::Node> consumer : consumers) consumer.replace_source_output(convert->output(0));
  graph.replace_parameter(index, parameter);
}

void convert_output(ov::Model& graph, size_t index, const ov::element::Type& type) {
  const std::shared_ptr<ov::Node> result = graph.output(index).get_node_shared_ptr();
  const ov::Output<ov::Node> source = result->input_value(0);
  if (source.get_element_type() == type) return;
  result->input(0).replace_source_output(
      std::make_shared<ov::op::v0::Convert>(source, type)->output(0));
}

bool is_scalar_port(const ov::PartialShape& shape, const TensorSpec& spec) {
  return shape.rank().is_static() && shape.rank().get_length() == 0 && spec.shape.size() == 1;
}

}  // namespace

Result<FunctionPlan> make_plan(const model::Function& function, Translation& translation) {
  FunctionPlan plan;
  plan.description = model::describe(function);
  ov::Model& graph = *translation.model;
  const auto lost = [](const std::string& name) {
    return internal_error("the translated graph has no port with this name", name);
  };
  for (const TensorSpec& spec : plan.description.inputs) {
    const PortBinding* const binding = find_binding(translation.inputs, spec.name);
    if (binding == nullptr) return lost(spec.name);
    convert_input(graph, binding->index, element_type(spec.dtype));
    plan.inputs.push_back(
        {binding->index, is_scalar_port(graph.input(binding->index).get_partial_shape(), spec)});
  }
  for (const TensorSpec& spec : plan.description.outputs) {
    const PortBinding* const binding = find_binding(translation.outputs, spec.name);
    if (binding == nullptr) return lost(spec.name);
    convert_output(graph, binding->index, element_type(spec.dtype));
    plan.outputs.push_back(
        {binding->index, is_scalar_port(graph.output(binding->index).get_partial_shape(), spec)});
  }
  for (const TensorSpec& spec : plan.description.states) {
    const StateBinding* const binding = find_binding(translation.states, spec.name);
    if (binding == nullptr) return lost(spec.name);
    const DataType buffer_type = data_type(binding->element);
    if (buffer_type == DataType::kInvalid) {
      return unsupported("states of this element type are not supported", spec.to_string());
    }
    plan.states.push_back({buffer_type, binding->input_index, binding->output_index});
  }
  graph.validate_nodes_and_infer_types();
  for (const auto& [node, origin] : translation.origins) {
    plan.operations.emplace(node, OperationName{origin.output, origin.type});
  }
  return plan;
}

}  // namespace coreml_delegate::engine::portable
