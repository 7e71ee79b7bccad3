#include "inmemoryfs/disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"

namespace coreml_delegate::inmemoryfs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::pair<std::string, std::string>> contents(const InMemoryFileSystem& tree) {
  std::vector<std::pair<std::string, std::string>> result;
  const Status status =
      tree.walk("", [&](std::string_view path, const Metadata& metadata, const Bytes& content) {
        result.emplace_back(
            path, metadata.kind == NodeKind::kDirectory ? "<directory>" : as_text(content.span()));
        return Status();
      });
  EXPECT_TRUE(status.ok()) << status.to_string();
  return result;
}

InMemoryFileSystem sample() {
  InMemoryFileSystem tree;
  EXPECT_TRUE(tree.add_file("Manifest.json", Bytes(as_bytes("{}"))).ok());
  EXPECT_TRUE(tree.add_file("Data/deep/er/spec", Bytes(as_bytes("spec"))).ok());
  EXPECT_TRUE(tree.add_file("Data/empty", Bytes()).ok());
  EXPECT_TRUE(tree.add_directory("Folder").ok());
  return tree;
}

class DiskTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::string> made = files_.make_unique_directory(testing::TempDir(), "disk_test.");
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    root_ = *made;
  }
  void TearDown() override { EXPECT_TRUE(files_.remove_tree(root_).ok()); }
  std::string at(const std::string& name) const { return join_path(root_, name); }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    const Result<std::vector<DirectoryEntry>> entries = files_.list(root_);
    for (const DirectoryEntry& entry : *entries) result.push_back(entry.name);
    return result;
  }

  FileSystem& files_ = real_file_system();
  std::string root_;
};

// Trap: a zero-length file crashes the stock exporter; here there is one in the tree.
TEST_F(DiskTest, WrittenFolderReadsBackTheSame) {
  const InMemoryFileSystem tree = sample();
  ASSERT_TRUE(write_folder(files_, tree, at("out")).ok());
  EXPECT_THAT(names(), ElementsAre("out"));
  const Result<InMemoryFileSystem> read = read_folder(files_, at("out"));
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  EXPECT_EQ(contents(*read), contents(tree));
  EXPECT_TRUE(files_.info(at("out/Data/empty")).ok());
}

TEST_F(DiskTest, ATemporaryFolderReadsBackTheSameAndReplacesNothing) {
  ASSERT_TRUE(write_temporary_folder(files_, sample(), at("out")).ok());
  const Result<InMemoryFileSystem> again = read_folder(files_, at("out"));
  ASSERT_TRUE(again.ok()) << again.status().to_string();
  ASSERT_TRUE(write_folder(files_, *again, at("copy")).ok());
  EXPECT_TRUE(read_folder(files_, at("copy")).ok());
  EXPECT_EQ(write_temporary_folder(files_, sample(), at("out")).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(write_temporary_folder(files_, sample(), at("no/folder")).code(),
            StatusCode::kNotFound);
}

TEST_F(DiskTest, EmptyTreeIsAnEmptyFolder) {
  ASSERT_TRUE(write_folder(files_, InMemoryFileSystem(), at("out")).ok());
  EXPECT_THAT(contents(*read_folder(files_, at("out"))), IsEmpty());
}

TEST_F(DiskTest, FolderHasTheRightsOfAnyNewFolder) {
  ASSERT_TRUE(write_folder(files_, sample(), at("out")).ok());
  ASSERT_TRUE(files_.make_directory(at("plain")).ok());
  struct stat written, plain;
  ASSERT_EQ(::stat(at("out").c_str(), &written), 0);
  ASSERT_EQ(::stat(at("plain").c_str(), &plain), 0);
  EXPECT_EQ(written.st_mode, plain.st_mode);
}

TEST_F(DiskTest, TrailingSlashesAndRelativePaths) {
  ASSERT_TRUE(write_folder(files_, sample(), at("out//")).ok());
  EXPECT_TRUE(files_.info(at("out/Manifest.json")).ok());
  for (const std::string& path :
       {std::string(), std::string("/"), std::string("."), std::string(".."), at(".."), at(".")}) {
    EXPECT_EQ(write_folder(files_, sample(), path).code(), StatusCode::kInvalidArgument) << path;
  }
}

TEST_F(DiskTest, NothingIsReplaced) {
  ASSERT_TRUE(files_.make_directory(at("folder")).ok());
  std::ofstream(at("file")) << "kept";
  ASSERT_EQ(::symlink("nowhere", at("link").c_str()), 0);
  for (const char* name : {"folder", "file", "link"}) {
    EXPECT_EQ(write_folder(files_, sample(), at(name)).code(), StatusCode::kAlreadyExists) << name;
  }
  EXPECT_THAT(names(), ElementsAre("file", "folder", "link"));
  EXPECT_EQ(as_text(files_.map(at("file"))->span()), "kept");
}

TEST_F(DiskTest, MissingParentIsNotFound) {
  EXPECT_EQ(write_folder(files_, sample(), at("no/out")).code(), StatusCode::kNotFound);
}

// Trap: a failed unpack deletes a sibling folder whose name was built by joining strings without a
// separator.
TEST_F(DiskTest, FailedWriteTouchesNoSibling) {
  for (const char* sibling : {"outside", "out2", ".coreml-staging-", "out.tmp"}) {
    ASSERT_TRUE(files_.make_directory(at(sibling)).ok());
    std::ofstream(at(std::string(sibling) + "/file")) << "kept";
  }
  const std::vector<std::string> before = names();
  FailingFileSystem failing(files_);
  failing.fail_operation(FileOperation::kSync, io_error("injected"), "spec");
  const Status status = write_folder(failing, sample(), at("out"));
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_EQ(names(), before);
  EXPECT_EQ(as_text(files_.map(at("out2/file"))->span()), "kept");
}

// Trap: symbolic links are followed and renamed by the stock exporter.
TEST_F(DiskTest, SymbolicLinksAreRefusedOrLeftOut) {
  std::ofstream(at("secret")) << "outside";
  ASSERT_TRUE(files_.make_directory(at("in")).ok());
  std::ofstream(at("in/file")) << "x";
  ASSERT_EQ(::symlink("../secret", at("in/link").c_str()), 0);
  ASSERT_EQ(::symlink("..", at("in/up").c_str()), 0);
  const Status refused = read_folder(files_, at("in")).status();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.to_string(), HasSubstr("in/link"));
  EXPECT_THAT(refused.to_string(), HasSubstr("symbolic link"));
  const Result<InMemoryFileSystem> skipped = read_folder(files_, at("in"), SymbolicLinks::kSkip);
  ASSERT_TRUE(skipped.ok()) << skipped.status().to_string();
  EXPECT_THAT(*skipped->list(""), ElementsAre("file"));
}

TEST_F(DiskTest, TheFolderItselfMayBeReachedThroughALink) {
  ASSERT_TRUE(write_folder(files_, sample(), at("out")).ok());
  ASSERT_EQ(::symlink("out", at("link").c_str()), 0);
  EXPECT_EQ(read_folder(files_, at("link"))->file_count(), 3u);
}

TEST_F(DiskTest, PipesAndSocketsAreRefused) {
  ASSERT_TRUE(files_.make_directory(at("in")).ok());
  ASSERT_EQ(::mkfifo(at("in/pipe").c_str(), 0600), 0);
  const Status status = read_folder(files_, at("in")).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.to_string(), HasSubstr("in/pipe"));
}

TEST_F(DiskTest, ReadingWhatIsNoFolder) {
  std::ofstream(at("file")) << "x";
  EXPECT_EQ(read_folder(files_, at("file")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(read_folder(files_, at("none")).status().code(), StatusCode::kNotFound);
}

TEST_F(DiskTest, DeepTreesAreReadUpToTheLimit) {
  InMemoryFileSystem tree;
  std::string deep = "d";
  for (size_t i = 1; i < kMaxPathDepth; ++i) deep += "/d";
  ASSERT_TRUE(tree.add_file(deep, Bytes(as_bytes("bottom"))).ok());
  ASSERT_TRUE(write_folder(files_, tree, at("out")).ok());
  EXPECT_EQ(contents(*read_folder(files_, at("out"))), contents(tree));
  ASSERT_TRUE(files_.make_directory(at("more")).ok());
  ASSERT_TRUE(files_.rename(at("out"), at("more/out")).ok());
  EXPECT_EQ(read_folder(files_, at("more")).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(DiskTest, NamesThatAreNotUtf8AreRefused) {
  ASSERT_TRUE(files_.make_directory(at("in")).ok());
  std::ofstream(at("in/\xff")) << "x";
  EXPECT_EQ(read_folder(files_, at("in")).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(DiskTest, ContentIsMappedNotRead) {
  ASSERT_TRUE(write_folder(files_, sample(), at("out")).ok());
  const Result<InMemoryFileSystem> tree = read_folder(files_, at("out"));
  ASSERT_TRUE(tree.ok());
  EXPECT_NE(tree->read("Manifest.json")->owner(), nullptr);
  ASSERT_TRUE(files_.remove_tree(at("out")).ok());
  EXPECT_EQ(as_text(tree->read("Data/deep/er/spec")->span()), "spec");
}

// One folder may be written by several threads at once: one wins, the others are told, nothing is
// left over.
TEST_F(DiskTest, WritersRaceAndOneWins) {
  const InMemoryFileSystem tree = sample();
  std::vector<Status> outcomes(4);
  std::vector<std::thread> threads;
  for (Status& outcome : outcomes) {
    threads.emplace_back([&] { outcome = write_folder(files_, tree, at("out")); });
  }
  for (std::thread& thread : threads) thread.join();
  int winners = 0;
  for (const Status& outcome : outcomes) {
    if (outcome.ok()) {
      ++winners;
    } else {
      EXPECT_EQ(outcome.code(), StatusCode::kAlreadyExists) << outcome.to_string();
    }
  }
  EXPECT_EQ(winners, 1);
  EXPECT_THAT(names(), ElementsAre("out"));
}

uint64_t calls_of_a_write() {
  InMemoryFiles memory;
  FailingFileSystem files(memory);
  EXPECT_TRUE(write_folder(files, sample(), "/out").ok());
  return files.calls();
}

TEST(WriteFolderFailureTest, AFailureAtAnyCallLeavesNeitherTargetNorStagingFolder) {
  const uint64_t calls = calls_of_a_write();
  ASSERT_GT(calls, 15u);
  for (uint64_t call = 1; call <= calls; ++call) {
    InMemoryFiles memory;
    ASSERT_TRUE(memory.make_directory("/outside").ok());
    FailingFileSystem files(memory);
    files.fail_call(call, resource_exhausted("injected"));
    const Status status = write_folder(files, sample(), "/out");
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << call << ": " << status.to_string();
    EXPECT_THAT(status.to_string(), HasSubstr("injected"));
    EXPECT_THAT(memory.paths(), ElementsAre("/outside")) << "call " << call;
  }
}

// As when the disk goes away: nothing can be cleaned up, but the target is whole or not there.
TEST(WriteFolderFailureTest, WhenEveryCallFailsFromThereOnTheTargetIsWholeOrAbsent) {
  const uint64_t calls = calls_of_a_write();
  for (uint64_t call = 1; call <= calls; ++call) {
    InMemoryFiles memory;
    FailingFileSystem files(memory);
    files.fail_call(call, io_error("injected"), /*all_after=*/true);
    EXPECT_FALSE(write_folder(files, sample(), "/out").ok());
    if (!memory.info("/out").ok()) continue;
    const Result<InMemoryFileSystem> tree = read_folder(memory, "/out");
    ASSERT_TRUE(tree.ok());
    EXPECT_EQ(contents(*tree), contents(sample())) << "call " << call;
  }
}

TEST(ReadFolderFailureTest, AFailureAtAnyCallIsReported) {
  InMemoryFiles memory;
  ASSERT_TRUE(write_folder(memory, sample(), "/out").ok());
  FailingFileSystem files(memory);
  ASSERT_TRUE(read_folder(files, "/out").ok());
  const uint64_t calls = files.calls();
  for (uint64_t call = 1; call <= calls; ++call) {
    files.clear();
    files.fail_call(call, io_error("injected"));
    const Status status = read_folder(files, "/out").status();
    EXPECT_EQ(status.code(), StatusCode::kIoError) << "call " << call;
    EXPECT_THAT(status.to_string(), HasSubstr("injected"));
  }
}

}  // namespace
}  // namespace coreml_delegate::inmemoryfs
