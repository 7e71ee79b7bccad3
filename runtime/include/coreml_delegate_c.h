#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_C_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_C_H_

// coreml_delegate.h and the process-wide options for callers that load libcoremldelegate.so by
// hand, as the Python package does. Errors are executorch::runtime::Error as a number; 0 is
// success. Strings are UTF-8 and end in NUL.
//
// Thread rule: as coreml_delegate.h.

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COREML_DELEGATE_EXPORT __attribute__((visibility("default")))

COREML_DELEGATE_EXPORT uint32_t coreml_delegate_register_backend(void);

// Sets one of the backend's defaults, as executorch::runtime::set_option() does. An empty string
// takes one back.
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_set_string_option(const char* key,
                                                                  const char* value);
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_set_int_option(const char* key, int value);
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_set_bool_option(const char* key, int value);

// Empty or null: of all methods.
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_reset_states(const char* method_name);

// What this thread last failed with; "" when nothing. Valid until this thread's next call of
// anything here or of ExecuTorch.
COREML_DELEGATE_EXPORT const char* coreml_delegate_last_error(void);

// diagnose() as JSON: {"version", "registered_backends": [...], "is_registered", "engines":
// [{"name", "fingerprint"}], "default_engine"}. Valid until this thread's next call of this
// function.
COREML_DELEGATE_EXPORT const char* coreml_delegate_diagnose(void);

// Looks at or clears the compiled models kept in `folder` (null or empty: the option cache_dir):
// `command` is "stats", "list", "purge", "verify", "evict" with an entry's name as `argument`, or
// "evict_to" with a number of bytes. coreml_delegate_cache.h says what each gives.
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_cache(const char* command, const char* folder,
                                                      const char* argument);

// What this thread's last successful call of coreml_delegate_cache() gave, as JSON with the names
// of coreml_delegate_cache.h. Valid until the next one.
COREML_DELEGATE_EXPORT const char* coreml_delegate_cache_result(void);

#ifdef __cplusplus
}
#endif

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_C_H_
