#include "runtime/delegate/edge.h"

#include <exception>
#include <new>
#include <string>

#include "base/status.h"
#include "runtime/delegate/error_map.h"

namespace coreml_delegate {

using executorch::runtime::Error;

Error report_exception(const char* doing) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    try {
      report(resource_exhausted(std::string("memory ran out, so that the delegate could not ") +
                                doing));
    } catch (...) {
      // There is no memory to say so either.
    }
    return Error::MemoryAllocationFailed;
  } catch (const std::exception& error) {
    try {
      report(internal_error(std::string("the delegate could not ") + doing + ": " + error.what()));
    } catch (...) {
    }
    return Error::Internal;
  } catch (...) {
    try {
      report(internal_error(std::string("the delegate could not ") + doing +
                            ": an unknown exception"));
    } catch (...) {
    }
    return Error::Internal;
  }
}

}  // namespace coreml_delegate
