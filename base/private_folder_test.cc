#include "base/private_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <utility>

#include "base/file.h"

namespace coreml_delegate {
namespace {

TEST(PrivateFolderTest, IsForItsUserOnlyAndGoesWithItsOwner) {
  std::string path;
  {
    Result<PrivateFolder> made = PrivateFolder::make("private-folder-");
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    const PrivateFolder folder = *std::move(made);
    path = folder.path();
    EXPECT_NE(path.find("/private-folder-"), std::string::npos);
    struct stat status;
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    EXPECT_TRUE(write_file(real_file_system(), join_path(path, "a"), {}, Durability::kNone).ok());
  }
  EXPECT_EQ(real_file_system().info(path).status().code(), StatusCode::kNotFound);
}

TEST(PrivateFolderTest, WhereNoneCanBeMadeTheVariableIsNamed) {
  const char* const before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TMPDIR", "/nonexistent", 1);
  const Status status = PrivateFolder::make("x").status();
  if (before == nullptr) {
    ::unsetenv("TMPDIR");
  } else {
    ::setenv("TMPDIR", kept.c_str(), 1);
  }
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_NE(status.to_string().find("set TMPDIR"), std::string::npos);
}

}  // namespace
}  // namespace coreml_delegate
