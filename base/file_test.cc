#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <string>

#include "base/testing_file.h"

namespace coreml_delegate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The contract of FileSystem, run against the operating system's and the one in memory.
class FileSystemTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
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
    ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files_->create(path));
    RETURN_IF_ERROR(file->append(as_bytes(text)));
    RETURN_IF_ERROR(file->sync());
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

INSTANTIATE_TEST_SUITE_P(, FileSystemTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Real" : "InMemory"; });

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

TEST_P(FileSystemTest, UseAfterCloseIsRefused) {
  Result<std::unique_ptr<WritableFile>> file = files_->create(at("a"));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->close().ok());
  EXPECT_EQ((*file)->append(as_bytes("x")).code(), StatusCode::kFailedPrecondition);
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
