#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_REGISTER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_REGISTER_H_

#include "base/status.h"

namespace coreml_delegate::engine::coreml {

// Registers the engine unless that has been done. A program that links this has a static
// initialiser which calls it; where a linker drops that, somebody else must.
//
// Thread rule: may be called from several threads at once.
Status register_once();

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_REGISTER_H_
