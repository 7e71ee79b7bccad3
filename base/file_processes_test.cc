// Files that other processes and other users see.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "base/file.h"

namespace coreml_delegate {
namespace {

// Python's multiprocessing forks without exec.
TEST(RealFileSystem, ALockEndsWhereItIsDestroyedAlthoughAForkedChildHasIt) {
  FileSystem& files = real_file_system();
  const std::string folder = *make_private_directory("file_test.");
  const std::string path = join_path(folder, "lock");
  const auto lock = [&] {
    return files.try_lock(path, LockMode::kExclusive, MissingLock::kCreate);
  };
  auto held = lock();
  ASSERT_TRUE(held.ok());
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // What the child destroys is not its own.
    held = io_error("let go");
    const char done = 'd';
    (void)!::write(pipe_ends[1], &done, 1);
    for (;;) ::pause();
  }
  char done = 0;
  ASSERT_EQ(::read(pipe_ends[0], &done, 1), 1);
  EXPECT_EQ(lock().status().code(), StatusCode::kFailedPrecondition) << "the child ended the lock";
  const pid_t other = ::fork();
  ASSERT_GE(other, 0);
  if (other == 0) {
    for (;;) ::pause();
  }
  held = io_error("let go");
  EXPECT_TRUE(lock().ok()) << "a child keeps the lock";
  for (const pid_t process : {child, other}) {
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
  }
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  EXPECT_TRUE(files.remove_tree(folder).ok());
}

TEST(RealFileSystem, APrivateFolderIsForItsUserOnly) {
  const mode_t before = ::umask(0);
  const Result<std::string> folder = make_private_directory("file_test.");
  ::umask(before);
  ASSERT_TRUE(folder.ok()) << folder.status().to_string();
  struct stat status {};
  ASSERT_EQ(::stat(folder->c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0700u);
  EXPECT_TRUE(real_file_system().remove_tree(*folder).ok());
}

}  // namespace
}  // namespace coreml_delegate
