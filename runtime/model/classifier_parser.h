#ifndef COREML_DELEGATE_RUNTIME_MODEL_CLASSIFIER_PARSER_H_
#define COREML_DELEGATE_RUNTIME_MODEL_CLASSIFIER_PARSER_H_

// The operation `classify`, whose outputs are no tensors. Internal to runtime/model.

#include <string>
#include <unordered_map>

#include "base/status.h"
#include "runtime/model/mil.h"
#include "runtime/model/program.h"
#include "runtime/model/value_parser.h"

namespace coreml_delegate::model {

// Where `block`, a function's body, has a `classify`, fills function->classifier and takes the
// operation out: of its outputs the label goes, and the dictionary becomes the tensor of the
// probabilities under the dictionary's name, in `outputs` (the types of the body's outputs) and in
// function->body, as far as that is parsed. corrupt_data for a `classify` that cannot be one.
Status parse_classifier(const mil::Block& block, ValueParser& values,
                        std::unordered_map<std::string, ValueType>* outputs, Function* function);

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_CLASSIFIER_PARSER_H_
