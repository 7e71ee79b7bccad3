#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_BORDERS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_BORDERS_H_

// From a translation to what executing it needs. Includes OpenVINO.

#include "base/status.h"
#include "runtime/engine/portable/function_plan.h"
#include "runtime/engine/portable/translator.h"
#include "runtime/model/program.h"

namespace coreml_delegate::engine::portable {

// The plan of `translation`. Where the description declares another element type than the program,
// a conversion goes into the graph, so that callers' buffers are bound as they are. Throws what
// OpenVINO throws.
Result<FunctionPlan> make_plan(const model::Function& function, Translation& translation);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_BORDERS_H_
