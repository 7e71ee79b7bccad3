// The conformance suite on the Core ML engine: over Apple's framework on Apple platforms, over ours
// for GNUstep elsewhere.

#include "runtime/engine/coreml/core_ml_engine.h"
#include "runtime/engine/cts/engine_cts.h"

namespace coreml_delegate::engine {
namespace {

EngineUnderTest core_ml() {
  return {.name = "coreml",
          .engine = coreml::make_core_ml_engine(),
          .unsupported_operation = StatusCode::kEngineFailure,
          .times_operations = false};
}

INSTANTIATE_TEST_SUITE_P(CoreML, EngineTest, ::testing::Values(&core_ml));
INSTANTIATE_TEST_SUITE_P(CoreML, PackageEngineTest, ::testing::Values(&core_ml));

}  // namespace
}  // namespace coreml_delegate::engine
