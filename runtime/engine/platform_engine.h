#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PLATFORM_ENGINE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PLATFORM_ENGINE_H_

#include "base/status.h"

namespace coreml_delegate::engine {

// Registers the platform's engine unless it is registered; may be called from several threads at
// once. The delegate calls it, so that a program needs no static initialiser of the engine's. It is
// declared here and defined by the program's //runtime:platform_engine, as only that knows the
// engines.
Status register_platform_engine();

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PLATFORM_ENGINE_H_
