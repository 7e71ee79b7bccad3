// OpenVINO loads its plugins with RTLD_DEEPBIND, which AddressSanitizer and ThreadSanitizer end the
// process for: the plugin would get another malloc than the one that is watched. In programs built
// with one of them, and only there, dlopen leaves that flag out; the plugins need it only where two
// OpenVINOs meet in one process.

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)

#include <dlfcn.h>

extern "C" {

void* __interceptor_dlopen(const char* path, int flags);

// Replaces the sanitizer's weak symbol of this name.
void* dlopen(const char* path, int flags) noexcept {
  return __interceptor_dlopen(path, flags & ~RTLD_DEEPBIND);
}

}  // extern "C"

#endif
#endif
