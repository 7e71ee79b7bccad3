#include "runtime/engine/coreml/app_settings.h"
#include "runtime/engine/coreml/register.h"
#include "runtime/engine/platform_engine.h"

namespace coreml_delegate::engine {

Status register_platform_engine() { return coreml::register_once(); }

Result<AppSettings> app_settings() { return coreml::app_settings(); }

}  // namespace coreml_delegate::engine
