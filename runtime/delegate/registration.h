#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_REGISTRATION_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_REGISTRATION_H_

#include "runtime/delegate/coreml_backend.h"
#include "runtime/delegate/stored_models.h"

namespace coreml_delegate {

// The process's backend. Made at first use and never destroyed: programs may be destroyed by static
// destructors of others.
CoreMLBackend& process_backend();
// What it loads models from disk with; as long-lived.
StoredModels& process_stored_models();

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_REGISTRATION_H_
