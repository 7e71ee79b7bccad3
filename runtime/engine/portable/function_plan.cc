#include "runtime/engine/portable/function_plan.h"

#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

namespace coreml_delegate::engine::portable {

namespace {

using Json = nlohmann::json;

Json spec_to_json(const TensorSpec& spec) {
  Json shape = Json::array();
  for (const Dimension& dimension : spec.shape) {
    shape.push_back(Json::array({dimension.min, dimension.max}));
  }
  return {{"name", spec.name},
          {"dtype", static_cast<int>(spec.dtype)},
          {"shape", std::move(shape)},
          {"enumerated_shapes", spec.enumerated_shapes}};
}

// Reads members of JSON that may hold anything; the first that is not as it must be is remembered.
class Reader {
 public:
  bool ok() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }

  const Json& member(const Json& object, const char* name) {
    static const Json null;
    if (object.is_object()) {
      if (const auto found = object.find(name); found != object.end()) return *found;
    }
    return fail(name), null;
  }
  const Json& array(const Json& object, const char* name) {
    static const Json empty = Json::array();
    const Json& value = member(object, name);
    return value.is_array() ? value : (fail(name), empty);
  }
  std::string text(const Json& object, const char* name) {
    const Json& value = member(object, name);
    return value.is_string() ? value.get<std::string>() : (fail(name), std::string());
  }
  int64_t integer(const Json& value, const char* name) {
    return value.is_number_integer() ? value.get<int64_t>() : (fail(name), 0);
  }
  size_t index(const Json& object, const char* name) {
    const int64_t value = integer(member(object, name), name);
    return value >= 0 ? static_cast<size_t>(value) : (fail(name), size_t{0});
  }
  bool flag(const Json& object, const char* name) {
    const Json& value = member(object, name);
    return value.is_boolean() ? value.get<bool>() : (fail(name), false);
  }
  const Json& object(const Json& parent, const char* name) {
    static const Json empty = Json::object();
    const Json& value = member(parent, name);
    return value.is_object() ? value : (fail(name), empty);
  }
  ColorLayout color_layout(const Json& value) {
    const int64_t number = integer(value, "images");
    for (const ColorLayout layout : {ColorLayout::kGrayscale, ColorLayout::kRgb, ColorLayout::kBgr,
                                     ColorLayout::kGrayscaleFloat16}) {
      if (number == static_cast<int64_t>(layout)) return layout;
    }
    fail("images");
    return ColorLayout::kRgb;
  }
  Classifier classifier(const Json& object) {
    Classifier result;
    result.label = text(object, "label");
    result.probabilities = text(object, "probabilities");
    for (const Json& name : array(object, "names")) {
      result.names.push_back(name.is_string() ? name.get<std::string>()
                                              : (fail("names"), std::string()));
    }
    for (const Json& number : array(object, "numbers")) {
      result.numbers.push_back(integer(number, "numbers"));
    }
    return result;
  }
  DataType data_type(const Json& object, const char* name) {
    const int64_t value = integer(member(object, name), name);
    if (value < 1 || value > static_cast<int64_t>(DataType::kFloat64)) fail(name);
    return static_cast<DataType>(value);
  }
  TensorSpec spec(const Json& object) {
    TensorSpec result;
    result.name = text(object, "name");
    result.dtype = data_type(object, "dtype");
    for (const Json& dimension : array(object, "shape")) {
      if (!dimension.is_array() || dimension.size() != 2) {
        fail("shape");
        break;
      }
      result.shape.push_back({integer(dimension[0], "shape"), integer(dimension[1], "shape")});
    }
    for (const Json& shape : array(object, "enumerated_shapes")) {
      std::vector<int64_t>& extents = result.enumerated_shapes.emplace_back();
      for (const Json& extent : shape) extents.push_back(integer(extent, "enumerated_shapes"));
      if (extents.size() != result.shape.size()) fail("enumerated_shapes");
    }
    return result;
  }

 private:
  void fail(const char* name) {
    if (problem_.empty()) problem_ = name;
  }
  std::string problem_;
};

}  // namespace

std::string to_json(const FunctionPlan& plan) {
  const FunctionDescription& description = plan.description;
  const auto ports = [](const std::vector<TensorSpec>& specs, const std::vector<PortPlan>& plans) {
    Json result = Json::array();
    for (size_t i = 0; i < specs.size(); ++i) {
      Json port = spec_to_json(specs[i]);
      port["index"] = plans[i].index;
      port["is_scalar"] = plans[i].is_scalar;
      result.push_back(std::move(port));
    }
    return result;
  };
  Json states = Json::array();
  for (size_t i = 0; i < description.states.size(); ++i) {
    Json state = spec_to_json(description.states[i]);
    state["buffer_type"] = static_cast<int>(plan.states[i].buffer_type);
    state["input_index"] = plan.states[i].input_index;
    if (plan.states[i].output_index.has_value())
      state["output_index"] = *plan.states[i].output_index;
    states.push_back(std::move(state));
  }
  Json operations = Json::object();
  for (const auto& [node, operation] : plan.operations) {
    operations[node] = Json::array({operation.output, operation.type});
  }
  Json images = Json::object();
  for (const auto& [name, layout] : description.images) images[name] = static_cast<int>(layout);
  // As bits: JSON has no infinity.
  Json default_values = Json::object();
  for (const auto& [name, value] : description.default_values) {
    default_values[name] = std::bit_cast<int64_t>(value);
  }
  Json classifier;
  if (description.classifier) {
    classifier = {{"label", description.classifier->label},
                  {"probabilities", description.classifier->probabilities},
                  {"names", description.classifier->names},
                  {"numbers", description.classifier->numbers}};
  }
  const Json json = {{"name", description.name},
                     {"inputs", ports(description.inputs, plan.inputs)},
                     {"outputs", ports(description.outputs, plan.outputs)},
                     {"states", std::move(states)},
                     {"images", std::move(images)},
                     {"default_values", std::move(default_values)},
                     {"classifier", std::move(classifier)},
                     {"operations", std::move(operations)}};
  // Names come from protobuf strings, which are UTF-8; anything else is replaced rather than thrown
  // about.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<FunctionPlan> function_plan_from_json(std::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  Reader reader;
  FunctionPlan plan;
  plan.description.name = reader.text(json, "name");
  const auto ports = [&](const char* role, std::vector<TensorSpec>* specs,
                         std::vector<PortPlan>* plans) {
    for (const Json& port : reader.array(json, role)) {
      specs->push_back(reader.spec(port));
      plans->push_back({reader.index(port, "index"), reader.flag(port, "is_scalar")});
    }
  };
  ports("inputs", &plan.description.inputs, &plan.inputs);
  ports("outputs", &plan.description.outputs, &plan.outputs);
  for (const Json& state : reader.array(json, "states")) {
    plan.description.states.push_back(reader.spec(state));
    StatePlan& state_plan = plan.states.emplace_back();
    state_plan.buffer_type = reader.data_type(state, "buffer_type");
    state_plan.input_index = reader.index(state, "input_index");
    if (state.is_object() && state.contains("output_index")) {
      state_plan.output_index = reader.index(state, "output_index");
    }
  }
  for (const auto& [name, layout] : reader.object(json, "images").items()) {
    plan.description.images.emplace(name, reader.color_layout(layout));
  }
  for (const auto& [name, value] : reader.object(json, "default_values").items()) {
    plan.description.default_values.emplace(
        name, std::bit_cast<double>(reader.integer(value, "default_values")));
  }
  if (const Json& classifier = reader.member(json, "classifier"); !classifier.is_null()) {
    plan.description.classifier = reader.classifier(classifier);
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
