// The conformance suite on the fake engine, so that what tests rely on is what real engines do.

#include "runtime/engine/cts/engine_cts.h"
#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate::engine {
namespace {

// Its compiled folder is a copy of the package without checksums.
EngineUnderTest fake() { return {.name = "fake", .engine = std::make_unique<FakeEngine>()}; }
EngineUnderTest fake_without_strides() {
  return {.name = "fake_without_strides",
          .engine = std::make_unique<FakeEngine>(FakeEngineOptions{.accepts_strides = false})};
}

INSTANTIATE_TEST_SUITE_P(Fake, EngineTest, ::testing::Values(&fake, &fake_without_strides));

}  // namespace
}  // namespace coreml_delegate::engine
