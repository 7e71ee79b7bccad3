// run_pte.cc names nothing of the delegate.
#include "coreml_delegate.h"

namespace {
[[maybe_unused]] const auto registered = coreml_delegate::register_backend();
}  // namespace
