#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_C_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_C_H_

// The functions of coreml_delegate.h and the process-wide options in C, for callers that load
// libcoremldelegate.so by hand, as the Python package does. A returned uint32_t is an
// executorch::runtime::Error, in which 0 means success. Strings are UTF-8 and end in NUL.
//
//   if (coreml_delegate_register_backend() != 0 ||
//       coreml_delegate_set_string_option("cache_dir", "/data/cache") != 0) {
//     fprintf(stderr, "%s\n", coreml_delegate_last_error());
//   }
//
// Thread rule: that of coreml_delegate.h.

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COREML_DELEGATE_EXPORT __attribute__((visibility("default")))

// Does what coreml_delegate::register_backend() does.
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_register_backend(void);

// Sets one of the backend's default options (docs/runtime.md), as executorch::runtime::set_option()
// does. An empty string takes a default back.
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_set_string_option(const char* key,
                                                                  const char* value);
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_set_int_option(const char* key, int value);
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_set_bool_option(const char* key, int value);

// Returns the options that those three functions set, as a JSON list of {"name", "kind", "choices":
// [...], "doc"}. A kind is "bool", "int", "string", "path" or "choice"; the last three are set as
// strings. The text is valid until this thread calls this function again.
COREML_DELEGATE_EXPORT const char* coreml_delegate_load_options(void);

// Does what coreml_delegate::reset_states() does. An empty or null name stands for all methods.
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_reset_states(const char* method_name);

// Returns the message of this thread's last failure, or "" if nothing has failed. It is valid until
// this thread calls another function of this header or of ExecuTorch.
COREML_DELEGATE_EXPORT const char* coreml_delegate_last_error(void);

// Returns what coreml_delegate::diagnose() does, as JSON: {"version", "registered_backends": [...],
// "is_registered", "engines": [{"name", "fingerprint"}], "default_engine"}. It is valid until this
// thread calls this function again.
COREML_DELEGATE_EXPORT const char* coreml_delegate_diagnose(void);

// Shows or clears the compiled models that are kept in `folder`. If it is null or empty, the folder
// is that of the option cache_dir. `command` is "stats", "list", "purge", "verify", "evict" with an entry's name as
// `argument`, or "evict_to" with a number of bytes; coreml_delegate_cache.h describes each.
COREML_DELEGATE_EXPORT uint32_t coreml_delegate_cache(const char* command, const char* folder,
                                                      const char* argument);

// Returns the result of this thread's last successful call of coreml_delegate_cache(), as JSON with
// the names of coreml_delegate_cache.h. It is valid until this thread's next such call.
COREML_DELEGATE_EXPORT const char* coreml_delegate_cache_result(void);

#ifdef __cplusplus
}
#endif

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_C_H_
