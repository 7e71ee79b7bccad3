// Linking //third-party/executorch:kernels registers the CPU kernels, though no symbol of them is
// named here.

#include <executorch/runtime/kernel/operator_registry.h>

#include "gtest/gtest.h"

namespace {

using executorch::runtime::registry_has_op_function;

TEST(KernelsTest, AreRegisteredByLinking) {
  EXPECT_TRUE(registry_has_op_function("aten::add.out"));
  EXPECT_TRUE(registry_has_op_function("aten::convolution.out"));
  EXPECT_FALSE(registry_has_op_function("aten::no_such_operator.out"));
}

}  // namespace
