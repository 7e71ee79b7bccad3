// Faults of ETDump that this project works around, in ETDump alone. A test that fails says that the
// fault is gone, and that its row of tools/workarounds.toml and the code named there may go, too.

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/runtime.h>

#include <array>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace {

using executorch::aten::ScalarType;
using executorch::etdump::ETDumpGen;
using executorch::runtime::EValue;
using executorch::runtime::LoggedEValueType;
using executorch::runtime::Result;

// Whether a dump with a buffer of this size takes a tensor of four elements.
bool takes(ScalarType type, size_t buffer_size) {
  executorch::runtime::runtime_init();
  // Both are never destroyed: a refused tensor leaves memory of the dump in disorder.
  auto& dump = *new ETDumpGen;
  auto& buffer = *new std::vector<uint8_t>(buffer_size);
  dump.create_event_block("faults");
  EXPECT_TRUE(dump.set_debug_buffer({buffer.data(), buffer.size()}).ok());
  std::array<uint8_t, 16> elements{};
  const auto tensor = executorch::extension::from_blob(elements.data(), {4}, type);
  const Result<bool> logged = dump.log_evalue(EValue(*tensor), LoggedEValueType::kProgramOutput);
  return logged.ok() && *logged;
}

TEST(ETDumpFaultsTest, AFloat16TensorIsRefused) {
  EXPECT_TRUE(takes(ScalarType::Float, 4096));
  EXPECT_FALSE(takes(ScalarType::Half, 4096));
}

TEST(ETDumpFaultsDeathTest, AFullBufferEndsTheProcess) {
  EXPECT_DEATH(takes(ScalarType::Float, 1), "");
}

}  // namespace
