// Every rule a reader checks, by a file that breaks it: blob/testdata/corrupt. To write the files
// again:
//   tools/bazel run //blob:make_testdata -- $PWD/blob/testdata

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/file.h"
#include "blob/blob.h"
#include "blob/corrupt_cases.h"
#include "blob/testdata_path.h"

namespace coreml_delegate::blob {
namespace {

constexpr char kFolder[] = "blob/testdata/corrupt";

class CorruptTest : public testing::TestWithParam<CorruptCase> {};

INSTANTIATE_TEST_SUITE_P(, CorruptTest, testing::ValuesIn(corrupt_cases()),
                         [](const auto& info) { return info.param.name; });

TEST_P(CorruptTest, IsRefusedAndSaysWhy) {
  const Bytes bytes = read_data(std::string(kFolder) + "/" + GetParam().name);
  OpenOptions options;
  options.named_data = corrupt_case_named_data();
  options.verify_checksums = GetParam().verify_checksums;
  const Result<DelegateCall> call = open_delegate_call(bytes, options);
  ASSERT_FALSE(call.ok());
  EXPECT_EQ(call.status().code(), GetParam().code) << call.status().to_string();
  EXPECT_THAT(call.status().to_string(), testing::HasSubstr(GetParam().message));
}

TEST_P(CorruptTest, TheFileIsWhatTheGeneratorMakes) {
  const Bytes bytes = read_data(std::string(kFolder) + "/" + GetParam().name);
  EXPECT_TRUE(as_text(bytes.span()) == GetParam().bytes)
      << "run: tools/bazel run //blob:make_testdata -- $PWD/blob/testdata";
}

TEST(CorruptFolderTest, HasAFileForEachCaseAndNoOther) {
  std::set<std::string> cases;
  for (const CorruptCase& corrupt : corrupt_cases()) {
    EXPECT_TRUE(cases.insert(corrupt.name).second) << corrupt.name;
  }
  const Result<std::vector<DirectoryEntry>> entries = real_file_system().list(data_path(kFolder));
  ASSERT_TRUE(entries.ok()) << entries.status().to_string();
  std::set<std::string> files;
  for (const DirectoryEntry& entry : *entries) files.insert(entry.name);
  EXPECT_EQ(files, cases);
}

}  // namespace

void PrintTo(const CorruptCase& corrupt, std::ostream* stream) { *stream << corrupt.name; }

}  // namespace coreml_delegate::blob
