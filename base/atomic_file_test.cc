#include "base/atomic_file.h"

#include <memory>
#include <string>

#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate {
namespace {

using ::testing::ElementsAre;

class AtomicFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(memory_.make_directory("/d").ok());
    ASSERT_TRUE(write_file(memory_, "/d/y", as_bytes("earlier"), Durability::kSynced).ok());
    ASSERT_TRUE(memory_.sync_directory("/d").ok());
    ASSERT_TRUE(memory_.sync_directory("/").ok());
  }
  std::string read(const std::string& path) const {
    const Result<Bytes> bytes = memory_.map(path);
    return bytes.ok() ? std::string(as_text(bytes->span())) : bytes.status().to_string();
  }

  InMemoryFiles memory_;
  FailingFileSystem files_{memory_};
};

TEST_F(AtomicFileTest, ReplacesAnEarlierFileWhenItIsWhole) {
  auto file = AtomicFile::create(files_, "/d/y");
  ASSERT_TRUE(file.ok()) << file.status().to_string();
  ASSERT_TRUE((*file)->append(as_bytes("ne")).ok());
  ASSERT_TRUE((*file)->append(as_bytes("w")).ok());
  EXPECT_EQ(read("/d/y"), "earlier");
  ASSERT_TRUE((*file)->finish().ok());
  file->reset();
  EXPECT_EQ(read("/d/y"), "new");
  EXPECT_THAT(memory_.paths(), ElementsAre("/d", "/d/y"));
}

TEST_F(AtomicFileTest, AnyFailureLeavesWhatWasThere) {
  for (const FileOperation step :
       {FileOperation::kCreate, FileOperation::kAppend, FileOperation::kSync, FileOperation::kClose,
        FileOperation::kRename}) {
    files_.fail_operation(step, resource_exhausted("no space left"));
    const auto write = [&]() -> Status {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const auto file, AtomicFile::create(files_, "/d/y"));
      COREML_DELEGATE_RETURN_IF_ERROR(file->append(as_bytes("new")));
      return file->finish(Durability::kSynced);
    };
    EXPECT_EQ(write().code(), StatusCode::kResourceExhausted);
    files_.clear();
    EXPECT_EQ(read("/d/y"), "earlier");
    EXPECT_THAT(memory_.paths(), ElementsAre("/d", "/d/y"));
  }
}

TEST_F(AtomicFileTest, WhatWasNotFinishedIsGoneAndWhatACrashLeftIsNotInTheWay) {
  { const auto dropped = AtomicFile::create(files_, "/d/z"); }
  EXPECT_THAT(memory_.paths(), ElementsAre("/d", "/d/y"));
  memory_.put("/d/z.coreml-part", FileKind::kFile, "half of somebody's");
  auto file = AtomicFile::create(files_, "/d/z");
  ASSERT_TRUE(file.ok()) << file.status().to_string();
  ASSERT_TRUE((*file)->append(as_bytes("whole")).ok());
  ASSERT_TRUE((*file)->finish().ok());
  EXPECT_EQ(read("/d/z"), "whole");
}

// The content is synced before the rename: whatever part of the folder's changes a loss of power
// leaves, a file of this name has all of one content.
TEST_F(AtomicFileTest, ALossOfPowerLeavesOneOfTheTwo) {
  for (uint64_t seed = 0; seed < 32; ++seed) {
    InMemoryFiles memory;
    ASSERT_TRUE(write_file(memory, "/y", as_bytes("earlier"), Durability::kSynced).ok());
    ASSERT_TRUE(memory.sync_directory("/").ok());
    auto file = AtomicFile::create(memory, "/y");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->append(as_bytes("new and longer")).ok());
    ASSERT_TRUE((*file)->finish(Durability::kSynced).ok());
    memory.lose_power(seed);
    const Result<Bytes> bytes = memory.map("/y");
    ASSERT_TRUE(bytes.ok()) << seed << bytes.status().to_string();
    EXPECT_THAT(std::string(as_text(bytes->span())), ::testing::AnyOf("earlier", "new and longer"));
  }
}

}  // namespace
}  // namespace coreml_delegate
