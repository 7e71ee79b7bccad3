#include "runtime/engine/coreml/guard.h"

#import <CoreML/CoreML.h>

namespace coreml_delegate::engine::coreml {

namespace {

StatusCode code_of_error(NSError* error) {
  if ([[error domain] isEqualToString:MLModelErrorDomain]) {
    switch ([error code]) {
      case MLModelErrorFeatureType:
      case MLModelErrorParameters:
        return StatusCode::kInvalidArgument;
      case MLModelErrorIO:
        return StatusCode::kIoError;
      // MLModelErrorPredictionCancelled, which older SDKs do not name.
      case 11:
        return StatusCode::kCancelled;
      default:
        return StatusCode::kEngineFailure;
    }
  }
  if ([[error domain] isEqualToString:NSPOSIXErrorDomain]) {
    switch ([error code]) {
      case ENOENT:
        return StatusCode::kNotFound;
      case EEXIST:
        return StatusCode::kAlreadyExists;
      case ENOSPC:
      case EDQUOT:
      case EMFILE:
      case ENOMEM:
        return StatusCode::kResourceExhausted;
      default:
        return StatusCode::kIoError;
    }
  }
  return StatusCode::kEngineFailure;
}

}  // namespace

Status status_of_error(NSError* error, const std::string& doing, const std::string& artifact) {
  if (error == nil) {
    return engine_failure("Core ML failed without an error when asked to " + doing, artifact);
  }
  // Deeper chains are not met in practice and must not become endless.
  constexpr int kMaxDepth = 8;
  NSError* chain[kMaxDepth];
  int depth = 0;
  for (NSError* at = error; at != nil && depth < kMaxDepth;
       at = [[at userInfo] objectForKey:NSUnderlyingErrorKey]) {
    chain[depth++] = at;
  }
  Status status;
  for (int i = depth; i-- > 0;) {
    const std::string text = from_ns([chain[i] localizedDescription]) + " (" +
                             from_ns([chain[i] domain]) + " " + std::to_string([chain[i] code]) +
                             ")";
    const std::string message = i == 0 ? "cannot " + doing + ": " + text : text;
    status = status.ok()
                 ? Status(code_of_error(chain[i]), message, i == 0 ? artifact : std::string())
                 : status.annotate_as(code_of_error(chain[i]), message,
                                      i == 0 ? artifact : std::string());
  }
  return status;
}

Status status_of_exception(id exception, const std::string& doing, const std::string& artifact) {
  if (![exception isKindOfClass:[NSException class]]) {
    return engine_failure("cannot " + doing + ": an object was thrown that is not an NSException",
                          artifact);
  }
  return engine_failure(
      "cannot " + doing + ": " + from_ns([exception name]) + ": " + from_ns([exception reason]),
      artifact);
}

NSString* to_ns(const std::string& text) {
  NSString* const string = [[[NSString alloc] initWithBytes:text.data()
                                                     length:text.size()
                                                   encoding:NSUTF8StringEncoding] autorelease];
  return string != nil ? string : @"";
}

std::string from_ns(NSString* string) {
  const char* const utf8 = [string UTF8String];
  return utf8 != nullptr ? utf8 : "";
}

NSURL* folder_url(const std::string& path) {
  return [NSURL fileURLWithPath:to_ns(path) isDirectory:YES];
}

}  // namespace coreml_delegate::engine::coreml
