#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_WARM_UP_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_WARM_UP_H_

#include <span>

#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

// Executes `model` once with zeros of the smallest shapes it takes, on a state of its own. What an
// engine prepares at its first execution is then done. unsupported when an output has no upper
// bound; what execute() says otherwise.
Status warm_up(engine::Model& model, std::span<const engine::InitialStateValue> initial);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_WARM_UP_H_
