// Every model specification of the tests is read by runtime/model as by protobuf, which no phone has.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "runtime/model/testing_mil_comparison.h"

namespace coreml_delegate::model {
namespace {

std::vector<std::filesystem::path> specifications(const char* folder) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".mlmodel") found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void expect_same(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(testing::compare_readers(as_bytes(text), /*max_depth=*/193), testing::Comparison::kSame)
      << path;
}

TEST(SpecificationsTest, ThoseOfPackages) {
  const auto paths = specifications("runtime/engine/cts/testdata");
  EXPECT_GT(paths.size(), 8u);
  for (const auto& path : paths) expect_same(path);
}

TEST(SpecificationsTest, ThoseOfOtherKindsOfModels) {
  const auto paths = specifications("tests/kinds/testdata");
  EXPECT_GT(paths.size(), 30u);
  for (const auto& path : paths) expect_same(path);
}

}  // namespace
}  // namespace coreml_delegate::model
