#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_EXECUTORCH_OPERATIONS_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_EXECUTORCH_OPERATIONS_H_

// <executorch/backends/apple/coreml/runtime/delegate/executorch_operations.h>, where apps that
// register the stock delegate by hand look for register_backend_coreml().
#include <executorch/backends/apple/coreml/runtime/include/coreml_backend/delegate.h>

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_EXECUTORCH_OPERATIONS_H_
