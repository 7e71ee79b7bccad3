#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_APP_SETTINGS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_APP_SETTINGS_H_

// What an app asks of the stock Core ML delegate by the property list
// com.apple.executorchcoreml_config.plist in its bundle.
//
// Thread rule: functions without state.

#include <string>

#include "base/status.h"
#include "runtime/engine/platform_engine.h"

namespace coreml_delegate::engine::coreml {

// Of the app's bundle. Nothing is set where there is no such file.
Result<AppSettings> app_settings();

// Of a file. It knows the keys shouldPrewarmModel (a boolean) and maxModelsCacheSizeInBytes (a
// number); others say nothing to this delegate. corrupt_data if the file is no property list of a
// dictionary, invalid_argument if a value is of another kind or negative.
Result<AppSettings> read_app_settings(const std::string& path);

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_APP_SETTINGS_H_
