#include "runtime/runner/output_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate::runner {
namespace {

namespace fs = std::filesystem;
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
  Result<std::unique_ptr<AtomicFile>> create(const std::string& name) {
    return create_output(files_, path(name), {path("model.pte"), "", path("absent")});
  }

  FileSystem& files_ = real_file_system();
  std::string folder_;
};

TEST_F(OutputFileTest, WhatIsReadIsNotReplacedUnderAnyName) {
  fs::create_symlink(path("model.pte"), path("link"));
  fs::create_hard_link(path("model.pte"), path("second_name"));
  for (const char* const name : {"model.pte", "./model.pte", "link", "second_name"}) {
    const auto file = create(name);
    ASSERT_FALSE(file.ok()) << name;
    EXPECT_THAT(file.status().to_string(), HasSubstr("the run reads this file"));
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
  EXPECT_THAT(create_output(files_, folder_, {}).status().to_string(),
              HasSubstr("the path is a folder"));
  // A rename onto it would take the device away from everybody.
  EXPECT_THAT(create_output(files_, "/dev/null", {}).status().to_string(),
              HasSubstr("the path is not a regular file"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_FALSE(create_output(files_, path("absent") + "/y", {}).ok());
}

}  // namespace
}  // namespace coreml_delegate::runner
