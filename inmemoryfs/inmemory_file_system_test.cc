#include "inmemoryfs/inmemory_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace coreml_delegate::inmemoryfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Bytes borrowed(std::string_view text) { return Bytes(as_bytes(text)); }

std::string text_at(const InMemoryFileSystem& tree, std::string_view path) {
  const Result<Bytes> bytes = tree.read(path);
  return bytes.ok() ? std::string(as_text(bytes->span())) : bytes.status().to_string();
}

std::vector<std::string> paths_below(const InMemoryFileSystem& tree, std::string_view path = "") {
  std::vector<std::string> paths;
  const Status status =
      tree.walk(path, [&](std::string_view at, const Metadata& metadata, const Bytes&) {
        paths.push_back(std::string(at) + (metadata.kind == NodeKind::kDirectory ? "/" : ""));
        return Status();
      });
  EXPECT_TRUE(status.ok()) << status.to_string();
  return paths;
}

InMemoryFileSystem sample() {
  InMemoryFileSystem tree;
  EXPECT_TRUE(tree.add_file("Manifest.json", borrowed("{}")).ok());
  EXPECT_TRUE(tree.add_file("Data/model/spec", borrowed("spec")).ok());
  EXPECT_TRUE(tree.add_file("Data/weights.bin", borrowed("www")).ok());
  EXPECT_TRUE(tree.add_directory("Empty").ok());
  return tree;
}

TEST(CheckPathTest, GoodPaths) {
  for (const std::string& path :
       {std::string("a"), std::string("a/b.c/d"), std::string("..."), std::string("a..b"),
        std::string(".hidden"), std::string("with space"), std::string("gr\xc3\xbc\xc3\x9f"),
        std::string(255, 'x'), std::string("back\\slash")}) {
    EXPECT_TRUE(check_path(path).ok()) << path;
  }
}

// Trap: child names used as path components unchecked let a crafted .pte write outside its folder.
TEST(CheckPathTest, HostilePathsAreRefusedWithTheRule) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "empty"},
      {"/etc/passwd", "absolute"},
      {"..", "component . or .."},
      {"../a", "component . or .."},
      {"a/../../b", "component . or .."},
      {"a/..", "component . or .."},
      {".", "component . or .."},
      {"a/./b", "component . or .."},
      {"a//b", "empty component"},
      {"a/", "ends in a slash"},
      {std::string("a\0b", 3), "NUL"},
      {"a\xff", "UTF-8"},
      {"a/\xed\xa0\x80", "UTF-8"},
      {std::string(256, 'x'), "255 bytes"},
  };
  for (const auto& [path, rule] : cases) {
    const Status status = check_path(path);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << path;
    EXPECT_THAT(status.message(), HasSubstr(rule)) << path;
  }
}

TEST(CheckPathTest, DepthIsLimited) {
  std::string path = "d";
  for (size_t i = 1; i < kMaxPathDepth; ++i) path += "/d";
  EXPECT_TRUE(check_path(path).ok());
  EXPECT_THAT(check_path(path + "/d").message(), HasSubstr("64 components"));
}

TEST(CheckPathTest, MessagesAreShortAndPrintable) {
  const Status status = check_path(std::string("../\n\x1b[31m") + std::string(10'000, 'x'));
  EXPECT_LT(status.artifact().size(), 250u);
  EXPECT_THAT(status.artifact(), HasSubstr("../??[31m"));
}

TEST(InMemoryFileSystemTest, StartsEmpty) {
  const InMemoryFileSystem tree;
  EXPECT_TRUE(tree.exists(""));
  EXPECT_EQ(tree.metadata("")->kind, NodeKind::kDirectory);
  EXPECT_THAT(*tree.list(""), IsEmpty());
  EXPECT_EQ(tree.file_count(), 0u);
  EXPECT_EQ(tree.total_bytes(), 0u);
}

TEST(InMemoryFileSystemTest, BorrowsAndNeverCopies) {
  const std::string content(1000, 'x');
  InMemoryFileSystem tree;
  ASSERT_TRUE(tree.add_file("a/b", borrowed(content)).ok());
  ASSERT_TRUE(tree.rename("a/b", "c").ok());
  const Result<InMemoryFileSystem> copy = tree.subtree("");
  ASSERT_TRUE(copy.ok());
  EXPECT_EQ(tree.read("c")->data(), as_bytes(content).data());
  EXPECT_EQ(copy->read("c")->data(), as_bytes(content).data());
}

TEST(InMemoryFileSystemTest, SharesTheOwnerOfTheBytes) {
  auto owner = std::make_shared<std::string>("text");
  const std::weak_ptr<std::string> watch = owner;
  Result<Bytes> bytes = Bytes();
  {
    InMemoryFileSystem tree;
    ASSERT_TRUE(tree.add_file("f", Bytes(as_bytes(*owner), owner)).ok());
    owner.reset();
    bytes = tree.read("f");
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(as_text(bytes->span()), "text");
  bytes = Bytes();
  EXPECT_TRUE(watch.expired());
}

TEST(InMemoryFileSystemTest, LooksUp) {
  const InMemoryFileSystem tree = sample();
  EXPECT_TRUE(tree.exists("Data"));
  EXPECT_TRUE(tree.exists("Data/model/spec"));
  EXPECT_FALSE(tree.exists("data")) << "names are case-sensitive";
  EXPECT_FALSE(tree.exists("Manifest.json/x"));
  EXPECT_FALSE(tree.exists("Data/"));
  EXPECT_EQ(tree.metadata("Data/weights.bin")->size, 3u);
  EXPECT_EQ(tree.metadata("Data/weights.bin")->kind, NodeKind::kFile);
  EXPECT_EQ(tree.metadata("Data")->kind, NodeKind::kDirectory);
  EXPECT_EQ(tree.metadata("Data")->size, 0u);
  EXPECT_EQ(text_at(tree, "Data/model/spec"), "spec");
  EXPECT_THAT(*tree.list(""), ElementsAre("Data", "Empty", "Manifest.json"));
  EXPECT_THAT(*tree.list("Empty"), IsEmpty());
  EXPECT_EQ(tree.file_count(), 3u);
  EXPECT_EQ(tree.total_bytes(), 9u);
}

TEST(InMemoryFileSystemTest, LookUpFailuresAreNamed) {
  const InMemoryFileSystem tree = sample();
  EXPECT_EQ(tree.read("Data/none").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(tree.read("Data/none").status().artifact(), "Data/none");
  EXPECT_EQ(tree.read("Data").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.list("Manifest.json").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.read("../x").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.metadata("none").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(tree.walk("none", nullptr).code(), StatusCode::kNotFound);
  EXPECT_EQ(tree.walk("Manifest.json", nullptr).code(), StatusCode::kInvalidArgument);
}

TEST(InMemoryFileSystemTest, WalksDirectoriesBeforeTheirEntriesSortedBytewise) {
  InMemoryFileSystem tree = sample();
  ASSERT_TRUE(tree.add_file("Data-x", {}).ok());
  ASSERT_TRUE(tree.add_file("\xc3\xa4", {}).ok());
  EXPECT_THAT(paths_below(tree),
              ElementsAre("Data/", "Data/model/", "Data/model/spec", "Data/weights.bin", "Data-x",
                          "Empty/", "Manifest.json", "\xc3\xa4"));
  EXPECT_THAT(paths_below(tree, "Data"),
              ElementsAre("Data/model/", "Data/model/spec", "Data/weights.bin"));
}

TEST(InMemoryFileSystemTest, WalkStopsAtTheFirstFailure) {
  const InMemoryFileSystem tree = sample();
  int visits = 0;
  const Status status = tree.walk("", [&](std::string_view, const Metadata&, const Bytes&) {
    return ++visits == 2 ? cancelled("enough") : Status();
  });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(visits, 2);
}

TEST(InMemoryFileSystemTest, AddReplacesNothing) {
  InMemoryFileSystem tree = sample();
  EXPECT_EQ(tree.add_file("Manifest.json", {}).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(tree.add_file("Data", {}).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(tree.add_directory("Manifest.json").code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(tree.add_directory("Data/model").ok());
  EXPECT_EQ(text_at(tree, "Manifest.json"), "{}");
}

TEST(InMemoryFileSystemTest, AddBelowAFileFailsAndLeavesNothing) {
  InMemoryFileSystem tree = sample();
  const std::vector<std::string> before = paths_below(tree);
  EXPECT_EQ(tree.add_file("Manifest.json/x/y", {}).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(tree.add_directory("Data/weights.bin/x").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(tree.add_file("New/../x", {}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(paths_below(tree), before);
}

TEST(InMemoryFileSystemTest, Removes) {
  InMemoryFileSystem tree = sample();
  EXPECT_TRUE(tree.remove("Data").ok());
  EXPECT_THAT(paths_below(tree), ElementsAre("Empty/", "Manifest.json"));
  EXPECT_TRUE(tree.remove("Manifest.json").ok());
  EXPECT_EQ(tree.remove("Manifest.json").code(), StatusCode::kNotFound);
  EXPECT_EQ(tree.remove("").code(), StatusCode::kInvalidArgument) << "the root stays";
}

TEST(InMemoryFileSystemTest, Renames) {
  InMemoryFileSystem tree = sample();
  EXPECT_TRUE(tree.rename("Data/model", "Empty/moved").ok());
  EXPECT_THAT(paths_below(tree), ElementsAre("Data/", "Data/weights.bin", "Empty/", "Empty/moved/",
                                             "Empty/moved/spec", "Manifest.json"));
  EXPECT_TRUE(tree.rename("Empty", "Empty2").ok()) << "a name that only begins alike";
  EXPECT_EQ(text_at(tree, "Empty2/moved/spec"), "spec");
}

TEST(InMemoryFileSystemTest, RenameThatCannotBeChangesNothing) {
  InMemoryFileSystem tree = sample();
  const std::vector<std::string> before = paths_below(tree);
  EXPECT_EQ(tree.rename("none", "x").code(), StatusCode::kNotFound);
  EXPECT_EQ(tree.rename("Data", "Empty").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(tree.rename("Data", "Data").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(tree.rename("Data", "Data/inside").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.rename("Data", "Data/model/inside").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.rename("Data", "none/x").code(), StatusCode::kNotFound);
  EXPECT_EQ(tree.rename("Data", "Manifest.json/x").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.rename("Data", "../x").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.rename("", "x").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.rename("Data", "").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(paths_below(tree), before);
}

TEST(InMemoryFileSystemTest, RenameKeepsTheDepthLimit) {
  InMemoryFileSystem tree;
  std::string deep = "d";
  for (size_t i = 1; i < kMaxPathDepth; ++i) deep += "/d";
  ASSERT_TRUE(tree.add_file(deep, {}).ok());
  ASSERT_TRUE(tree.add_directory("a").ok());
  EXPECT_EQ(tree.rename("d", "a/d").code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(tree.exists(deep));
  EXPECT_TRUE(tree.rename("d/d", "a/d").ok());
}

TEST(InMemoryFileSystemTest, SubtreeIsATreeOfItsOwn) {
  InMemoryFileSystem tree = sample();
  Result<InMemoryFileSystem> data = tree.subtree("Data");
  ASSERT_TRUE(data.ok());
  EXPECT_THAT(paths_below(*data), ElementsAre("model/", "model/spec", "weights.bin"));
  ASSERT_TRUE(data->remove("model").ok());
  EXPECT_TRUE(tree.exists("Data/model/spec"));
  EXPECT_EQ(tree.subtree("Manifest.json").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tree.subtree("none").status().code(), StatusCode::kNotFound);
}

TEST(InMemoryFileSystemTest, Moves) {
  InMemoryFileSystem tree = sample();
  InMemoryFileSystem other = std::move(tree);
  EXPECT_EQ(other.file_count(), 3u);
  tree = std::move(other);
  EXPECT_EQ(tree.file_count(), 3u);
}

// The thread rule; meaningful under --config=tsan.
TEST(InMemoryFileSystemTest, ManyThreadsMayRead) {
  const InMemoryFileSystem tree = sample();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&tree] {
      for (int round = 0; round < 200; ++round) {
        const Result<Bytes> bytes = tree.read("Data/weights.bin");
        EXPECT_EQ(as_text(bytes->span()), "www");
        EXPECT_EQ(paths_below(tree).size(), 6u);
        EXPECT_EQ(tree.subtree("Data")->file_count(), 2u);
        EXPECT_FALSE(tree.exists("none"));
        EXPECT_EQ(tree.total_bytes(), 9u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace coreml_delegate::inmemoryfs
