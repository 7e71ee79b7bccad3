// Registers the fake engine in a program, for tests.

#include <cstdlib>
#include <memory>

#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate::engine {
namespace {

[[maybe_unused]] const bool registered = [] {
  if (!register_engine(std::make_unique<FakeEngine>()).ok()) std::abort();
  return true;
}();

}  // namespace
}  // namespace coreml_delegate::engine
