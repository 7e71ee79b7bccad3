#include "runtime/runner/output_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/testing_failing_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate::runner {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OutputFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::string> folder = files_.make_unique_directory(temporary_directory(), "output_file");
    ASSERT_TRUE(folder.ok());
    folder_ = *folder;
    write("model.pte", "the model");
  }
  void TearDown() override { EXPECT_TRUE(files_.remove_tree(folder_).ok()); }

  std::string path(const std::string& name) const { return join_path(folder_, name); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    const Result<std::vector<DirectoryEntry>> entries = files_.list(folder_);
    EXPECT_TRUE(entries.ok());
    for (const DirectoryEntry& entry : *entries) found.push_back(entry.name);
    return found;
  }
  Result<std::unique_ptr<OutputFile>> create(const std::string& name) {
    return OutputFile::create(files_, path(name), {path("model.pte"), "", path("absent")});
  }

  FailingFileSystem files_{real_file_system()};
  std::string folder_;
};

TEST_F(OutputFileTest, ReplacesAnEarlierFileWhenItIsWhole) {
  write("y.npy", "earlier");
  auto file = create("y.npy");
  ASSERT_TRUE(file.ok()) << file.status().to_string();
  ASSERT_TRUE((*file)->append(as_bytes("new")).ok());
  EXPECT_EQ(read("y.npy"), "earlier");
  ASSERT_TRUE((*file)->finish().ok());
  EXPECT_EQ(read("y.npy"), "new");
  EXPECT_THAT(names(), ElementsAre("model.pte", "y.npy"));
}

TEST_F(OutputFileTest, AFullDiskLeavesWhatWasThere) {
  write("y.npy", "earlier");
  for (const FileOperation step :
       {FileOperation::kAppend, FileOperation::kClose, FileOperation::kRename}) {
    files_.fail_operation(step, resource_exhausted("no space left"));
    {
      auto file = create("y.npy");
      ASSERT_TRUE(file.ok());
      const Status appended = (*file)->append(as_bytes("new"));
      const Status status = appended.ok() ? (*file)->finish() : appended;
      EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
    }
    files_.clear();
    EXPECT_EQ(read("y.npy"), "earlier");
    EXPECT_THAT(names(), ElementsAre("model.pte", "y.npy"));
  }
}

TEST_F(OutputFileTest, WhatIsReadIsNotReplacedUnderAnyName) {
  fs::create_symlink(path("model.pte"), path("link"));
  fs::create_hard_link(path("model.pte"), path("second_name"));
  for (const char* const name : {"model.pte", "./model.pte", "link", "second_name"}) {
    const auto file = create(name);
    ASSERT_FALSE(file.ok()) << name;
    EXPECT_THAT(file.status().to_string(), HasSubstr("this is a file that is read"));
  }
  EXPECT_EQ(read("model.pte"), "the model");
}

TEST_F(OutputFileTest, ALinkStaysOneAndWhatItNamesIsReplaced) {
  write("target", "earlier");
  fs::create_symlink(path("target"), path("link"));
  auto file = create("link");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->append(as_bytes("new")).ok());
  ASSERT_TRUE((*file)->finish().ok());
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read("target"), "new");
}

TEST_F(OutputFileTest, FoldersAndDevicesAreRefused) {
  EXPECT_THAT(OutputFile::create(files_, folder_, {}).status().to_string(),
              HasSubstr("this is a folder"));
  // A rename onto it would take the device away from everybody.
  EXPECT_THAT(OutputFile::create(files_, "/dev/null", {}).status().to_string(),
              HasSubstr("this is no regular file"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_FALSE(OutputFile::create(files_, path("absent") + "/y", {}).ok());
}

}  // namespace
}  // namespace coreml_delegate::runner
