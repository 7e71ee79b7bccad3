#include "runtime/engine/coreml/app_settings.h"

#import <Foundation/Foundation.h>

#include "runtime/engine/coreml/guard.h"

namespace coreml_delegate::engine::coreml {

namespace {

NSString* const kFile = @"com.apple.executorchcoreml_config";

// The number that a key has; nil without the key.
Result<NSNumber*> number(NSDictionary* settings, NSString* key, const std::string& path) {
  id const value = [settings objectForKey:key];
  if (value == nil) return static_cast<NSNumber*>(nil);
  if ([value isKindOfClass:[NSNumber class]]) return static_cast<NSNumber*>(value);
  return invalid_argument("the property list's value of " + from_ns(key) +
                              " is no number or boolean; correct it or leave it out",
                          path);
}

}  // namespace

Result<AppSettings> read_app_settings(const std::string& path) {
  return guarded("read the app's settings", path, [&]() -> Result<AppSettings> {
    NSDictionary* const settings = [NSDictionary dictionaryWithContentsOfFile:to_ns(path)];
    if (settings == nil) {
      return corrupt_data("the file is no property list with a dictionary", path);
    }
    AppSettings result;
    COREML_DELEGATE_ASSIGN_OR_RETURN(NSNumber* const warm_up,
                                     number(settings, @"shouldPrewarmModel", path));
    if (warm_up != nil) result.warm_up = [warm_up boolValue] != NO;
    COREML_DELEGATE_ASSIGN_OR_RETURN(NSNumber* const bytes,
                                     number(settings, @"maxModelsCacheSizeInBytes", path));
    if (bytes != nil) {
      if ([bytes longLongValue] < 0) {
        return invalid_argument("maxModelsCacheSizeInBytes is negative", path);
      }
      result.cache_bytes = static_cast<uint64_t>([bytes longLongValue]);
    }
    return result;
  });
}

Result<AppSettings> app_settings() {
  std::string path;
  COREML_DELEGATE_RETURN_IF_ERROR(guarded("find the app's settings", "", [&]() -> Status {
    path = from_ns([[NSBundle mainBundle] pathForResource:kFile ofType:@"plist"]);
    return {};
  }));
  if (path.empty()) return AppSettings();
  return read_app_settings(path);
}

}  // namespace coreml_delegate::engine::coreml
