#ifndef COREML_DELEGATE_RUNTIME_MODEL_FEATURE_PARSER_H_
#define COREML_DELEGATE_RUNTIME_MODEL_FEATURE_PARSER_H_

// What a model's description declares of the inputs, outputs and states of a function, resolved
// against the types of its program. Internal to runtime/model.

#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "runtime/model/mil.h"
#include "runtime/model/program.h"

namespace coreml_delegate::model {

using FeatureDescriptions = std::vector<mil::FeatureDescription>;

struct FunctionFeatures {
  const FeatureDescriptions* inputs = nullptr;
  const FeatureDescriptions* outputs = nullptr;
  const FeatureDescriptions* states = nullptr;
};

// Fills the features of `function`, whose inputs and classifier are set. `outputs`: the types of
// the outputs of its body. Every input and state of the function must be described, every described
// output be there, types and shapes fit. An image is described by its tensor; a classifier's
// label has none and is no feature. Numbers, sequences and other dictionaries are unsupported.
Status parse_features(const FunctionFeatures& features,
                      const std::unordered_map<std::string, ValueType>& outputs,
                      Function* function);

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_FEATURE_PARSER_H_
