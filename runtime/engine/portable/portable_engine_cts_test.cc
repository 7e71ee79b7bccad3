// The conformance suite on the portable engine.

#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/portable/portable_engine.h"

namespace coreml_delegate::engine {
namespace {

EngineUnderTest portable() {
  return {.name = "portable", .engine = portable::make_portable_engine()};
}

INSTANTIATE_TEST_SUITE_P(Portable, EngineTest, ::testing::Values(&portable));
INSTANTIATE_TEST_SUITE_P(Portable, PackageEngineTest, ::testing::Values(&portable));

}  // namespace
}  // namespace coreml_delegate::engine
