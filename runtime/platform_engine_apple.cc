#include "runtime/engine/coreml/register.h"
#include "runtime/engine/platform_engine.h"

namespace coreml_delegate::engine {

Status register_platform_engine() { return coreml::register_once(); }

}  // namespace coreml_delegate::engine
