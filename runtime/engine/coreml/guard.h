#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_GUARD_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_GUARD_H_

// The border to Objective-C: every call into Foundation or Core ML happens inside guarded(), which
// gives it an autorelease pool and turns an exception into a Status. Objective-C++.
//
// Thread rule: from any thread.

#import <Foundation/Foundation.h>

#include <string>
#include <utility>

#include "base/status.h"

namespace coreml_delegate::engine::coreml {

// The one place where an NSError becomes a Status, its underlying errors becoming causes. A method
// that failed without an error (`error` is nil) is an engine_failure too.
Status status_of_error(NSError* error, const std::string& doing, const std::string& artifact);

// The one place where an exception becomes a Status.
Status status_of_exception(id exception, const std::string& doing, const std::string& artifact);

// Runs `call`, which returns a Status or a Result. Its autoreleased objects are gone when this
// returns, also when it was left by an exception: the pool is outside the @try, and draining it
// drains the ones inside that were left open.
template <typename Call>
auto guarded(const std::string& doing, const std::string& artifact, Call&& call)
    -> decltype(call()) {
  @autoreleasepool {
    @try {
      return std::forward<Call>(call)();
    } @catch (NSException* exception) {
      return status_of_exception(exception, doing, artifact);
    } @catch (id thrown) {
      return status_of_exception(thrown, doing, artifact);
    }
  }
}

// UTF-8 both ways; nil is empty.
NSString* to_ns(const std::string& text);
std::string from_ns(NSString* string);
NSURL* folder_url(const std::string& path);

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_GUARD_H_
