#include "base/platform.h"

#include <sys/utsname.h>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace coreml_delegate {
namespace {

#ifdef __APPLE__
std::string system_value(const char* name) {
  char text[256];
  size_t size = sizeof(text);
  return sysctlbyname(name, text, &size, nullptr, 0) == 0 && size > 0 ? std::string(text, size - 1)
                                                                      : std::string();
}
#endif

}  // namespace

std::string platform_name() {
  utsname system{};
  if (::uname(&system) != 0) return "unknown";
#ifdef __APPLE__
  return std::string(system.sysname) + " " + system_value("kern.osversion") + " " +
         system_value("hw.model");
#else
  return std::string(system.sysname) + " " + system.machine;
#endif
}

}  // namespace coreml_delegate
