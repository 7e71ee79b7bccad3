// The C++ code blocks of the documentation, all of them, are in this program: they compile and link.

#include "gtest/gtest.h"

namespace documentation {

extern const int block_count;

}  // namespace documentation

TEST(CppBlocksTest, AreInThisProgram) { EXPECT_GE(documentation::block_count, 4); }
