// Registers the backend when the program or library that this is linked into starts.

#include "runtime/include/coreml_backend/delegate.h"

namespace {

[[maybe_unused]] const auto kRegistered = executorch::backends::coreml::register_backend();

}  // namespace
