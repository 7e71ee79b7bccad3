// coreml_cc_data: the bytes in the binary are those of the file in the runfiles, aligned, and a program.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/rules/gate_embedded.h"
#include "tests/rules/gate_file.h"

namespace {

TEST(CcDataTest, EmbeddedBytesAreThoseOfTheFile) {
  const char* runfiles = std::getenv("TEST_SRCDIR");
  ASSERT_NE(runfiles, nullptr);
  std::ifstream file(std::string(runfiles) + "/" + gate_file_path(), std::ios::binary);
  ASSERT_TRUE(file) << gate_file_path();
  const std::string expected((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
  ASSERT_GT(expected.size(), 1000u);
  ASSERT_EQ(gate_embedded_size(), expected.size());
  EXPECT_EQ(std::memcmp(gate_embedded_data(), expected.data(), expected.size()), 0);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(gate_embedded_data()) % 64, 0u);
  EXPECT_EQ(std::memcmp(expected.data() + 4, "ET", 2), 0);
}

}  // namespace
