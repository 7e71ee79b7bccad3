#include "base/platform.h"

#include <gtest/gtest.h>
#include <sys/utsname.h>

namespace coreml_delegate {
namespace {

TEST(PlatformTest, TheSystemIsNamedAndStays) {
  utsname system{};
  ASSERT_EQ(::uname(&system), 0);
  EXPECT_EQ(platform_name().rfind(std::string(system.sysname) + " ", 0), 0u) << platform_name();
  EXPECT_GT(platform_name().size(), std::string(system.sysname).size() + 1);
  EXPECT_EQ(platform_name(), platform_name());
}

}  // namespace
}  // namespace coreml_delegate
