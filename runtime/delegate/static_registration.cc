// Registers the backend when the program or library that this is linked into starts.

#include "runtime/include/coreml_delegate.h"

namespace {

[[maybe_unused]] const auto kRegistered = coreml_delegate::register_backend();

}  // namespace
