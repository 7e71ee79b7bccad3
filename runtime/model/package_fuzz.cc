// Everything that can be read of a package of the fuzzer's is read.

#include <cstddef>
#include <cstdint>

#include "runtime/model/package.h"
#include "runtime/model/testing_fuzz.h"
#include "runtime/model/testing_mutator.h"

namespace coreml_delegate::model {
namespace {

// So that reading past a constant is seen.
void touch(const Constant& constant) {
  for (const Constant& item : constant.items) touch(item);
  if (constant.type.kind != ValueType::Kind::kTensor ||
      constant.type.element == ElementType::kString) {
    return;
  }
  const int64_t count = constant.type.element_count();
  for (int64_t i = 0; i < count; i += count / 16 + 1) (void)constant.real_at(i);
  if (count > 0) (void)constant.integer_at(count - 1);
}
void touch(const Block& block) {
  for (const Operation& operation : block.operations) {
    for (const auto& [name, constant] : operation.attributes) touch(*constant);
    for (const auto& [name, arguments] : operation.inputs) {
      for (const Argument& argument : arguments) {
        if (argument.value != nullptr) touch(*argument.value);
      }
    }
    for (const NamedType& output : operation.outputs) (void)output.type.to_string();
    for (const Block& inner : operation.blocks) touch(inner);
  }
}

}  // namespace
}  // namespace coreml_delegate::model

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace coreml_delegate;
  const auto files = model::testing::fuzzed_package(data, size);
  if (!files) return 0;
  const Result<model::Package> package = model::Package::open(*files);
  if (!package.ok()) return 0;
  for (const std::string& name : package->function_names()) {
    const Result<model::Function> signature = package->function_signature(name);
    const Result<model::Function> function = package->function(name);
    // What reads whole has a signature.
    if (function.ok() && !signature.ok()) __builtin_trap();
    if (function.ok()) model::touch(function->body);
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
