#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_ENGINE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_ENGINE_H_

// The engine "portable": ML Programs on the CPU through OpenVINO. docs/engine.md.

#include <memory>

#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::portable {

// Registered as "portable" by the library :register. Costs nothing until it is used.
std::unique_ptr<Engine> make_portable_engine();

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_ENGINE_H_
