#ifndef COREML_DELEGATE_BASE_FUNCTION_DESCRIPTION_H_
#define COREML_DELEGATE_BASE_FUNCTION_DESCRIPTION_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/feature_kinds.h"
#include "base/tensor_type.h"

namespace coreml_delegate {

// What a function takes and gives, with the model's own dtypes.
struct FunctionDescription {
  std::string name;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<TensorSpec> states;
  // What some of the tensors stand for, by name: whoever has images, classes or nothing to give
  // makes the tensors of them.
  std::map<std::string, ColorLayout> images;
  std::map<std::string, double> default_values;  // Of optional inputs, for every element.
  std::optional<Classifier> classifier;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_FUNCTION_DESCRIPTION_H_
