#ifndef COREML_DELEGATE_RUNTIME_MODEL_DESCRIPTION_H_
#define COREML_DELEGATE_RUNTIME_MODEL_DESCRIPTION_H_

#include "base/function_description.h"
#include "runtime/model/program.h"

namespace coreml_delegate::model {

// What the model's description says of a function: its tensors, and which of them stand for images
// and classes. The same for every engine.
FunctionDescription describe(const Function& function);

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_DESCRIPTION_H_
