#include "runtime/engine/description_json.h"

#include <bit>
#include <utility>

namespace coreml_delegate::engine {

using Json = nlohmann::json;

namespace {

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

Json specs_to_json(const std::vector<TensorSpec>& specs) {
  Json result = Json::array();
  for (const TensorSpec& spec : specs) result.push_back(spec_to_json(spec));
  return result;
}

}  // namespace

Json to_json(const FunctionDescription& description) {
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
  return {{"name", description.name},
          {"inputs", specs_to_json(description.inputs)},
          {"outputs", specs_to_json(description.outputs)},
          {"states", specs_to_json(description.states)},
          {"images", std::move(images)},
          {"default_values", std::move(default_values)},
          {"classifier", std::move(classifier)}};
}

const Json& JsonReader::member(const Json& object, const char* name) {
  static const Json null;
  if (object.is_object()) {
    if (const auto found = object.find(name); found != object.end()) return *found;
  }
  return fail(name), null;
}

const Json& JsonReader::array(const Json& object, const char* name) {
  static const Json empty = Json::array();
  const Json& value = member(object, name);
  return value.is_array() ? value : (fail(name), empty);
}

std::string JsonReader::text(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_string() ? value.get<std::string>() : (fail(name), std::string());
}

int64_t JsonReader::integer(const Json& value, const char* name) {
  return value.is_number_integer() ? value.get<int64_t>() : (fail(name), 0);
}

size_t JsonReader::index(const Json& object, const char* name) {
  const int64_t value = integer(member(object, name), name);
  return value >= 0 ? static_cast<size_t>(value) : (fail(name), size_t{0});
}

bool JsonReader::flag(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_boolean() ? value.get<bool>() : (fail(name), false);
}

const Json& JsonReader::object(const Json& parent, const char* name) {
  static const Json empty = Json::object();
  const Json& value = member(parent, name);
  return value.is_object() ? value : (fail(name), empty);
}

ColorLayout JsonReader::color_layout(const Json& value) {
  const int64_t number = integer(value, "images");
  for (const ColorLayout layout : {ColorLayout::kGrayscale, ColorLayout::kRgb, ColorLayout::kBgr,
                                   ColorLayout::kGrayscaleFloat16}) {
    if (number == static_cast<int64_t>(layout)) return layout;
  }
  fail("images");
  return ColorLayout::kRgb;
}

Classifier JsonReader::classifier(const Json& object) {
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

DataType JsonReader::data_type(const Json& object, const char* name) {
  const int64_t value = integer(member(object, name), name);
  if (value < 1 || value > static_cast<int64_t>(DataType::kFloat64)) fail(name);
  return static_cast<DataType>(value);
}

TensorSpec JsonReader::spec(const Json& object) {
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

FunctionDescription JsonReader::description(const Json& json) {
  FunctionDescription description;
  description.name = text(json, "name");
  for (const Json& input : array(json, "inputs")) description.inputs.push_back(spec(input));
  for (const Json& output : array(json, "outputs")) description.outputs.push_back(spec(output));
  for (const Json& state : array(json, "states")) description.states.push_back(spec(state));
  for (const auto& [name, layout] : object(json, "images").items()) {
    description.images.emplace(name, color_layout(layout));
  }
  for (const auto& [name, value] : object(json, "default_values").items()) {
    description.default_values.emplace(name,
                                       std::bit_cast<double>(integer(value, "default_values")));
  }
  const Json& classes = member(json, "classifier");
  if (!classes.is_null()) description.classifier = classifier(classes);
  return description;
}

}  // namespace coreml_delegate::engine
