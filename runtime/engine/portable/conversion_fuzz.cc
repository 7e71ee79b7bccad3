// Every function that can be read of a package of the fuzzer's is translated to a graph, in every
// numeric mode, and gets the plan of its borders; nothing is compiled.

#include <cstddef>
#include <cstdint>

#include "runtime/engine/portable/borders.h"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/translator.h"
#include "runtime/model/package.h"
#include "runtime/model/testing_fuzz.h"
#include "runtime/model/testing_mutator.h"

namespace coreml_delegate::engine::portable {
namespace {

// Whatever is not translated is refused with a sentence.
void require_sentence(const Status& status) {
  if (!status.ok() && status.message().empty()) __builtin_trap();
}

void convert(const model::Function& function, NumericMode mode, bool expose) {
  TranslateOptions options;
  options.numeric_mode = mode;
  options.expose_intermediate_values = expose;
  Result<Translation> translation = translate(function, options);
  if (!translation.ok()) return require_sentence(translation.status());
  const Status planned = guard("planning", function.name, [&]() -> Status {
    return make_plan(function, *translation).status();
  });
  require_sentence(planned);
}

}  // namespace
}  // namespace coreml_delegate::engine::portable

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace coreml_delegate;
  using namespace coreml_delegate::engine::portable;
  const auto files = model::testing::fuzzed_package(data, size);
  if (!files) return 0;
  const Result<model::Package> package = model::Package::open(*files);
  if (!package.ok()) return 0;
  for (const std::string& name : package->function_names()) {
    const Result<model::Function> function = package->function(name);
    if (!function.ok()) continue;
    convert(*function, engine::NumericMode::kFloat32, false);
    convert(*function, engine::NumericMode::kFloat16, true);
    convert(*function, engine::NumericMode::kLowPrecision, false);
  }
  return 0;
}

// libFuzzer's, where this is not linked into a replay of the corpus.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max, unsigned seed) {
  if (seed % 4 != 0) {
    const size_t changed = coreml_delegate::model::testing::mutate_package(data, size, max, seed);
    if (changed != 0) return changed;
  }
  return LLVMFuzzerMutate == nullptr ? size : LLVMFuzzerMutate(data, size, max);
}
