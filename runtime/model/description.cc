#include "runtime/model/description.h"

namespace coreml_delegate::model {

FunctionDescription describe(const Function& function) {
  FunctionDescription description;
  description.name = function.name;
  for (const Feature& feature : function.input_features) {
    description.inputs.push_back(feature.tensor);
    if (feature.image) description.images.emplace(feature.tensor.name, *feature.image);
    if (feature.optional && feature.default_value) {
      description.default_values.emplace(feature.tensor.name, *feature.default_value);
    }
  }
  for (const Feature& feature : function.output_features) {
    description.outputs.push_back(feature.tensor);
    if (feature.image) description.images.emplace(feature.tensor.name, *feature.image);
  }
  description.classifier = function.classifier;
  for (const Feature& feature : function.state_features) {
    description.states.push_back(feature.tensor);
  }
  return description;
}

}  // namespace coreml_delegate::model
