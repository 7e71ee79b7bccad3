#include "runtime/engine/platform_engine.h"
#include "runtime/engine/portable/register.h"

namespace coreml_delegate::engine {

Status register_platform_engine() { return portable::register_once(); }

Result<AppSettings> app_settings() { return AppSettings(); }

}  // namespace coreml_delegate::engine
