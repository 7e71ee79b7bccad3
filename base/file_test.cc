#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"

namespace coreml_delegate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

enum class Kind { kReal, kInMemory };

// The contract of FileSystem, run against the operating system's and the one in memory.
class FileSystemTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kReal) {
      files_ = &real_file_system();
      Result<std::string> made = files_->make_unique_directory(testing::TempDir(), "file_test.");
      ASSERT_TRUE(made.ok()) << made.status().to_string();
      root_ = *made;
    } else {
      files_ = &memory_;
      root_ = "/root";
      ASSERT_TRUE(files_->make_directory(root_).ok());
    }
  }
  void TearDown() override { EXPECT_TRUE(files_->remove_tree(root_).ok()); }

  std::string at(const std::string& name) const { return join_path(root_, name); }

  Status write(const std::string& path, std::string_view text) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file,
                                     files_->create(path));
    COREML_DELEGATE_RETURN_IF_ERROR(file->append(as_bytes(text)));
    COREML_DELEGATE_RETURN_IF_ERROR(file->sync());
    return file->close();
  }
  std::string read(const std::string& path) {
    const Result<Bytes> bytes = files_->map(path);
    return bytes.ok() ? std::string(as_text(bytes->span())) : bytes.status().to_string();
  }

  InMemoryFiles memory_;
  FileSystem* files_ = nullptr;
  std::string root_;
};

INSTANTIATE_TEST_SUITE_P(, FileSystemTest, testing::Values(Kind::kReal, Kind::kInMemory),
                         [](const auto& info) {
                           return info.param == Kind::kReal ? "Real" : "InMemory";
                         });

TEST_P(FileSystemTest, WritesAndMaps) {
  ASSERT_TRUE(write(at("a"), "hello").ok());
  EXPECT_EQ(read(at("a")), "hello");
  const Result<FileInfo> info = files_->info(at("a"));
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->kind, FileKind::kFile);
  EXPECT_EQ(info->size, 5u);
}

TEST_P(FileSystemTest, EmptyFileMapsToNoBytes) {
  ASSERT_TRUE(write(at("empty"), "").ok());
  const Result<Bytes> bytes = files_->map(at("empty"));
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  EXPECT_EQ(bytes->size(), 0u);
}

TEST_P(FileSystemTest, AppendsInOrder) {
  Result<std::unique_ptr<WritableFile>> file = files_->create(at("a"));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->append(as_bytes("one ")).ok());
  EXPECT_TRUE((*file)->append({}).ok());
  EXPECT_TRUE((*file)->append(as_bytes("two")).ok());
  EXPECT_TRUE((*file)->close().ok());
  EXPECT_EQ(read(at("a")), "one two");
}

TEST_P(FileSystemTest, AFileIsWrittenInOneCall) {
  for (const Durability durability : {Durability::kNone, Durability::kSynced}) {
    const std::string path = at(durability == Durability::kNone ? "a" : "b");
    ASSERT_TRUE(write_file(*files_, path, as_bytes("content"), durability).ok());
    EXPECT_EQ(read(path), "content");
    EXPECT_EQ(write_file(*files_, path, {}, durability).code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(read(path), "content") << "nothing is replaced";
  }
}

TEST_P(FileSystemTest, PatchesWhatWasWritten) {
  Result<std::unique_ptr<WritableFile>> file = files_->create(at("a"));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->append(as_bytes("one two")).ok());
  EXPECT_TRUE((*file)->patch(4, as_bytes("TWO")).ok());
  EXPECT_TRUE((*file)->patch(0, as_bytes("O")).ok());
  EXPECT_TRUE((*file)->patch(7, {}).ok());
  // Appending goes on at the end.
  EXPECT_TRUE((*file)->append(as_bytes(" three")).ok());
  EXPECT_TRUE((*file)->patch(8, as_bytes("T")).ok());
  EXPECT_EQ((*file)->patch(13, as_bytes("ee")).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ((*file)->patch(14, {}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ((*file)->patch(UINT64_MAX, as_bytes("x")).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE((*file)->close().ok());
  EXPECT_EQ(read(at("a")), "One TWO Three");
}

TEST_P(FileSystemTest, UseAfterCloseIsRefused) {
  Result<std::unique_ptr<WritableFile>> file = files_->create(at("a"));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->close().ok());
  EXPECT_EQ((*file)->append(as_bytes("x")).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ((*file)->patch(0, {}).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ((*file)->sync().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ((*file)->close().code(), StatusCode::kFailedPrecondition);
}

TEST_P(FileSystemTest, MappedBytesOutliveTheFile) {
  ASSERT_TRUE(write(at("a"), "hello").ok());
  Result<Bytes> bytes = files_->map(at("a"));
  ASSERT_TRUE(bytes.ok());
  const Bytes part = bytes->subspan(1, 3);
  bytes = io_error("gone");
  ASSERT_TRUE(files_->remove_file(at("a")).ok());
  EXPECT_EQ(as_text(part.span()), "ell");
}

TEST_P(FileSystemTest, MissingPathsAreNotFoundAndNamed) {
  EXPECT_EQ(files_->info(at("no")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->map(at("no")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->list(at("no")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->create(at("no/file")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->make_directory(at("no/folder")).code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->remove_file(at("no")).code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->rename(at("no"), at("other")).code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->sync_directory(at("no")).code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->info(at("no")).status().artifact(), at("no"));
}

TEST_P(FileSystemTest, CreateReplacesNothing) {
  ASSERT_TRUE(write(at("a"), "old").ok());
  EXPECT_EQ(files_->create(at("a")).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(files_->make_directory(at("a")).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(read(at("a")), "old");
}

TEST_P(FileSystemTest, ListIsSorted) {
  ASSERT_TRUE(write(at("b"), "").ok());
  ASSERT_TRUE(files_->make_directory(at("a")).ok());
  ASSERT_TRUE(write(at("a/inner"), "").ok());
  ASSERT_TRUE(write(at("B"), "").ok());
  const Result<std::vector<DirectoryEntry>> entries = files_->list(root_);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "B");
  EXPECT_EQ((*entries)[1].name, "a");
  EXPECT_EQ((*entries)[1].kind, FileKind::kDirectory);
  EXPECT_EQ((*entries)[2].name, "b");
  EXPECT_EQ((*entries)[2].kind, FileKind::kFile);
}

TEST_P(FileSystemTest, MappingADirectoryIsRefused) {
  EXPECT_EQ(files_->map(root_).status().code(), StatusCode::kInvalidArgument);
}

TEST_P(FileSystemTest, UniqueDirectoriesDiffer) {
  const Result<std::string> first = files_->make_unique_directory(root_, "staging.");
  const Result<std::string> second = files_->make_unique_directory(root_, "staging.");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_NE(*first, *second);
  EXPECT_THAT(*first, HasSubstr(at("staging.")));
  EXPECT_EQ(files_->info(*first)->kind, FileKind::kDirectory);
}

TEST_P(FileSystemTest, RenamedFileReplacesAFile) {
  ASSERT_TRUE(write(at("a"), "new").ok());
  ASSERT_TRUE(write(at("b"), "old").ok());
  ASSERT_TRUE(files_->rename(at("a"), at("b")).ok());
  EXPECT_EQ(read(at("b")), "new");
  EXPECT_EQ(files_->info(at("a")).status().code(), StatusCode::kNotFound);
}

TEST_P(FileSystemTest, RenamedDirectoryReplacesNothing) {
  ASSERT_TRUE(files_->make_directory(at("from")).ok());
  ASSERT_TRUE(write(at("from/file"), "content").ok());
  ASSERT_TRUE(files_->make_directory(at("empty")).ok());
  ASSERT_TRUE(write(at("file"), "x").ok());
  EXPECT_EQ(files_->rename(at("from"), at("empty")).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(files_->rename(at("from"), at("file")).code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(files_->rename(at("from"), at("to")).ok());
  EXPECT_EQ(read(at("to/file")), "content");
}

TEST_P(FileSystemTest, RemoveTree) {
  ASSERT_TRUE(files_->make_directory(at("t")).ok());
  ASSERT_TRUE(files_->make_directory(at("t/u")).ok());
  ASSERT_TRUE(write(at("t/u/file"), "x").ok());
  ASSERT_TRUE(write(at("tu"), "sibling").ok());
  EXPECT_TRUE(files_->remove_tree(at("t")).ok());
  EXPECT_TRUE(files_->remove_tree(at("t")).ok()) << "one that is not there is fine";
  EXPECT_EQ(files_->info(at("t")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(read(at("tu")), "sibling");
}

TEST_P(FileSystemTest, SharedLocksExcludeExclusiveOnes) {
  const auto lock = [&](LockMode mode) {
    return files_->try_lock(at("lock"), mode, MissingLock::kCreate);
  };
  {
    const auto first = lock(LockMode::kShared);
    ASSERT_TRUE(first.ok()) << first.status().to_string();
    EXPECT_TRUE(lock(LockMode::kShared).ok());
    EXPECT_EQ(lock(LockMode::kExclusive).status().code(), StatusCode::kFailedPrecondition);
  }
  const auto exclusive = lock(LockMode::kExclusive);
  ASSERT_TRUE(exclusive.ok());
  EXPECT_EQ(lock(LockMode::kShared).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(lock(LockMode::kExclusive).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(lock(LockMode::kShared).status().artifact(), at("lock"));
}

TEST_P(FileSystemTest, MissingLockFileIsMadeOnlyWhenAsked) {
  EXPECT_EQ(files_->try_lock(at("no"), LockMode::kShared, MissingLock::kRefuse).status().code(),
            StatusCode::kNotFound);
  EXPECT_TRUE(files_->try_lock(at("no"), LockMode::kShared, MissingLock::kCreate).ok());
  EXPECT_TRUE(files_->info(at("no")).ok());
}

TEST_P(FileSystemTest, LockFollowsItsFileWhenAFolderIsRenamed) {
  ASSERT_TRUE(files_->make_directory(at("from")).ok());
  const auto lock = files_->try_lock(at("from/lock"), LockMode::kShared, MissingLock::kCreate);
  ASSERT_TRUE(lock.ok());
  ASSERT_TRUE(files_->rename(at("from"), at("to")).ok());
  EXPECT_EQ(
      files_->try_lock(at("to/lock"), LockMode::kExclusive, MissingLock::kRefuse).status().code(),
      StatusCode::kFailedPrecondition);
}

TEST_P(FileSystemTest, RemovedLockFileIsAnotherFileWhenMadeAgain) {
  const auto lock = files_->try_lock(at("lock"), LockMode::kExclusive, MissingLock::kCreate);
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE((*lock)->remove_file().ok());
  EXPECT_EQ(files_->info(at("lock")).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(files_->try_lock(at("lock"), LockMode::kExclusive, MissingLock::kCreate).ok());
}

TEST_P(FileSystemTest, SharedLockDoesNotRemoveItsFile) {
  const auto lock = files_->try_lock(at("lock"), LockMode::kShared, MissingLock::kCreate);
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ((*lock)->remove_file().code(), StatusCode::kFailedPrecondition);
}

TEST_P(FileSystemTest, SyncsFilesByPath) {
  ASSERT_TRUE(write(at("a"), "text").ok());
  EXPECT_TRUE(files_->sync_file(at("a")).ok());
  EXPECT_EQ(files_->sync_file(at("no")).code(), StatusCode::kNotFound);
}

TEST_P(FileSystemTest, TellsTheSpaceOfTheVolume) {
  const Result<SpaceInfo> space = files_->space(root_);
  ASSERT_TRUE(space.ok()) << space.status().to_string();
  EXPECT_GT(space->total_bytes, 0u);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  EXPECT_EQ(files_->space(at("no")).status().code(), StatusCode::kNotFound);
}

class RealFileSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::string> made = files_.make_unique_directory(testing::TempDir(), "file_test.");
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    root_ = *made;
  }
  void TearDown() override { EXPECT_TRUE(files_.remove_tree(root_).ok()); }
  std::string at(const std::string& name) const { return join_path(root_, name); }
  void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

  FileSystem& files_ = real_file_system();
  std::string root_;
};

TEST_F(RealFileSystemTest, LinksAreSeenAndFollowedOnlyWhenAsked) {
  write(at("secret"), "text");
  ASSERT_EQ(::symlink("secret", at("link").c_str()), 0);
  EXPECT_EQ(files_.info(at("link"))->kind, FileKind::kSymbolicLink);
  EXPECT_EQ((*files_.list(root_))[0].kind, FileKind::kSymbolicLink);
  EXPECT_TRUE(files_.map(at("link"), Links::kFollow).ok());
  const Status refused = files_.map(at("link"), Links::kRefuse).status();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.message(), HasSubstr("symbolic link"));
}

TEST_F(RealFileSystemTest, LockEndsWithItsProcess) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = files_.try_lock(at("lock"), LockMode::kExclusive, MissingLock::kCreate);
    const char held = lock.ok() ? 'y' : 'n';
    if (::write(ready[1], &held, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  ASSERT_GT(child, 0);
  char held = 0;
  ASSERT_EQ(::read(ready[0], &held, 1), 1);
  EXPECT_EQ(held, 'y');
  const auto lock = [&] {
    return files_.try_lock(at("lock"), LockMode::kExclusive, MissingLock::kCreate);
  };
  EXPECT_EQ(lock().status().code(), StatusCode::kFailedPrecondition);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(lock().ok());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(RealFileSystemTest, InfoHasTheTimeOfTheLastChange) {
  write(at("a"), "text");
  struct stat status;
  ASSERT_EQ(::stat(at("a").c_str(), &status), 0);
  EXPECT_EQ(files_.info(at("a"))->modified_ns / 1'000'000'000, status.st_mtime);
}

TEST_F(RealFileSystemTest, CreateDoesNotWriteThroughADanglingLink) {
  ASSERT_EQ(::symlink(at("target").c_str(), at("link").c_str()), 0);
  EXPECT_EQ(files_.create(at("link")).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(files_.info(at("target")).status().code(), StatusCode::kNotFound);
}

TEST_F(RealFileSystemTest, RemoveTreeLeavesWhatLinksPointAt) {
  ASSERT_TRUE(files_.make_directory(at("kept")).ok());
  write(at("kept/file"), "x");
  ASSERT_TRUE(files_.make_directory(at("tree")).ok());
  ASSERT_EQ(::symlink(at("kept").c_str(), at("tree/link").c_str()), 0);
  ASSERT_TRUE(files_.remove_tree(at("tree")).ok());
  EXPECT_TRUE(files_.info(at("kept/file")).ok());
  ASSERT_EQ(::symlink(at("kept").c_str(), at("link").c_str()), 0);
  EXPECT_FALSE(files_.remove_tree(at("link")).ok()) << "a link is no tree";
  EXPECT_TRUE(files_.info(at("kept/file")).ok());
}

TEST_F(RealFileSystemTest, OpeningAPipeDoesNotWait) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(files_.info(at("pipe"))->kind, FileKind::kOther);
  EXPECT_EQ(files_.map(at("pipe")).status().code(), StatusCode::kInvalidArgument);
}

// The limit makes the kernel write a part first, then refuse: a short write and a full disk in one.
TEST_F(RealFileSystemTest, ShortWritesAreContinuedUntilNoRoomIsLeft) {
  Result<std::unique_ptr<WritableFile>> file = files_.create(at("a"));
  ASSERT_TRUE(file.ok());
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = (*file)->append(as_bytes(std::string(1500, 'x')));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.to_string();
  EXPECT_EQ(status.artifact(), at("a"));
  EXPECT_EQ(files_.info(at("a"))->size, 1000u);
}

TEST_F(RealFileSystemTest, ReleasedPagesAreReadAgain) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += static_cast<char>(i * 31 % 251);
  write(at("a"), text);
  const Result<Bytes> bytes = files_.map(at("a"));
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(as_text(bytes->span()), text);
  release_pages(bytes->subspan(5000, 70'000));
  release_pages(*bytes);
  EXPECT_EQ(as_text(bytes->span()), text);
}

TEST(ReleasePagesTest, OtherBytesStayAsTheyAre) {
  auto owner = std::make_shared<std::string>(100'000, 'x');
  release_pages(Bytes(as_bytes(*owner), owner));
  release_pages(Bytes(as_bytes(*owner)));
  release_pages(Bytes());
  EXPECT_EQ(*owner, std::string(100'000, 'x'));
}

TEST(JoinPathTest, PutsOneSlash) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("/", "b"), "/b");
  EXPECT_EQ(join_path("", "b"), "b");
}

TEST(TemporaryDirectoryTest, IsThere) {
  EXPECT_EQ(real_file_system().info(temporary_directory() + "/.")->kind, FileKind::kDirectory);
}

class FailingFileSystemTest : public testing::Test {
 protected:
  InMemoryFiles memory_;
  FailingFileSystem files_{memory_};
};

TEST_F(FailingFileSystemTest, FailsTheCallThatIsNamed) {
  files_.fail_call(2, io_error("injected"));
  EXPECT_TRUE(files_.make_directory("/a").ok());
  EXPECT_EQ(files_.make_directory("/b").message(), "injected");
  EXPECT_TRUE(files_.make_directory("/b").ok());
  EXPECT_EQ(files_.calls(), 3u);
}

TEST_F(FailingFileSystemTest, FailsAllCallsAfter) {
  files_.fail_call(1, io_error("injected"), /*all_after=*/true);
  EXPECT_FALSE(files_.make_directory("/a").ok());
  EXPECT_FALSE(files_.info("/").ok());
  files_.clear();
  EXPECT_TRUE(files_.make_directory("/a").ok());
}

TEST_F(FailingFileSystemTest, FailsAnOperationOnAPath) {
  files_.fail_operation(FileOperation::kMakeDirectory, resource_exhausted("full"), "bad");
  EXPECT_TRUE(files_.make_directory("/good").ok());
  EXPECT_EQ(files_.make_directory("/bad").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(files_.make_directory("/bad").code(), StatusCode::kResourceExhausted);
}

TEST_F(FailingFileSystemTest, AppendThatFailsLeavesATornFile) {
  Result<std::unique_ptr<WritableFile>> file = files_.create("/a");
  ASSERT_TRUE(file.ok());
  files_.fail_operation(FileOperation::kAppend, resource_exhausted("full"));
  EXPECT_EQ((*file)->append(as_bytes("abcdef")).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(as_text(memory_.map("/a")->span()), "abc");
}

TEST_F(FailingFileSystemTest, HookSeesEveryCallBeforeItHappens) {
  std::vector<FileOperation> seen;
  files_.set_hook([&](uint64_t, FileOperation operation) { seen.push_back(operation); });
  EXPECT_TRUE(files_.make_directory("/a").ok());
  EXPECT_TRUE(files_.try_lock("/lock", LockMode::kShared, MissingLock::kCreate).ok());
  files_.set_hook(nullptr);
  EXPECT_TRUE(files_.info("/a").ok());
  EXPECT_THAT(seen, ElementsAre(FileOperation::kMakeDirectory, FileOperation::kLock));
}

class PowerLossTest : public testing::Test {
 protected:
  void write(const std::string& path, std::string_view text, bool sync) {
    const Result<std::unique_ptr<WritableFile>> file = files_->create(path);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->append(as_bytes(text)).ok());
    if (sync) ASSERT_TRUE((*file)->sync().ok());
  }
  std::string read(const std::string& path) {
    const Result<Bytes> bytes = files_->map(path);
    return bytes.ok() ? std::string(as_text(bytes->span())) : "missing";
  }
  // What `path` is after `prepare` and a loss of power, over many seeds.
  template <typename Prepare>
  std::set<std::string> outcomes(const std::string& path, Prepare prepare) {
    std::set<std::string> found;
    for (uint64_t seed = 0; seed < 200; ++seed) {
      files_ = std::make_unique<InMemoryFiles>();
      prepare();
      files_->lose_power(seed);
      found.insert(read(path));
    }
    return found;
  }

  std::unique_ptr<InMemoryFiles> files_ = std::make_unique<InMemoryFiles>();
};

TEST_F(PowerLossTest, SyncedStays) {
  EXPECT_THAT(outcomes("/a",
                       [&] {
                         write("/a", "text", true);
                         ASSERT_TRUE(files_->sync_directory("/").ok());
                       }),
              ElementsAre("text"));
}

TEST_F(PowerLossTest, ContentIsTornWithoutItsSync) {
  const std::set<std::string> found = outcomes("/a", [&] {
    write("/a", "text", false);
    ASSERT_TRUE(files_->sync_directory("/").ok());
  });
  EXPECT_TRUE(found.contains("text"));
  EXPECT_TRUE(found.contains(""));
  EXPECT_TRUE(found.contains("te"));
  EXPECT_TRUE(found.contains(std::string("te\0\0", 4)));
  EXPECT_FALSE(found.contains("missing"));
}

TEST_F(PowerLossTest, EntryIsLostWithoutTheFoldersSync) {
  EXPECT_THAT(outcomes("/a", [&] { write("/a", "text", true); }), ElementsAre("missing", "text"));
}

TEST_F(PowerLossTest, RenameMayOvertakeTheContent) {
  const std::set<std::string> found = outcomes("/b", [&] {
    write("/a", "text", false);
    ASSERT_TRUE(files_->rename("/a", "/b").ok());
  });
  EXPECT_TRUE(found.contains("missing"));
  EXPECT_TRUE(found.contains("text"));
  EXPECT_GT(found.size(), 2u) << "the new name with a torn content";
}

TEST_F(PowerLossTest, LocksEnd) {
  const auto lock = files_->try_lock("/lock", LockMode::kExclusive, MissingLock::kCreate);
  ASSERT_TRUE(lock.ok());
  files_->lose_power(1);
  EXPECT_TRUE(files_->try_lock("/lock", LockMode::kExclusive, MissingLock::kCreate).ok());
}

TEST(InMemoryFilesTest, PathsAndOddKinds) {
  InMemoryFiles memory;
  ASSERT_TRUE(memory.make_directory("/d").ok());
  memory.put("/d/link", FileKind::kSymbolicLink);
  EXPECT_THAT(memory.paths(), ElementsAre("/d", "/d/link"));
  EXPECT_EQ(memory.map("/d/link").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(memory.rename("/d", "/d/e").code(), StatusCode::kIoError);
}

}  // namespace
}  // namespace coreml_delegate
