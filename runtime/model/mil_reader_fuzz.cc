// What our reader takes, protobuf takes, and reads the same.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "runtime/model/testing_mil_comparison.h"
#include "runtime/model/testing_mutator.h"

// Inputs are those of package_fuzz.cc: the specification has a size of four bytes in front.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace coreml_delegate;
  if (size < 4) return 0;
  uint32_t specification_size;
  std::memcpy(&specification_size, data, 4);
  if (specification_size > size - 4) specification_size = static_cast<uint32_t>(size - 4);
  const ByteSpan bytes(reinterpret_cast<const std::byte*>(data + 4), specification_size);
  const auto comparison = model::testing::compare_readers(bytes, 193);
  if (comparison == model::testing::Comparison::kDifferent ||
      comparison == model::testing::Comparison::kOnlyOurs) {
    __builtin_trap();
  }
  return 0;
}

// libFuzzer's, where this is not linked into a replay of the corpus.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max, unsigned seed) {
  if (seed % 4 == 0) {
    const size_t changed = coreml_delegate::model::testing::mutate_package(data, size, max, seed);
    if (changed != 0) return changed;
  }
  return LLVMFuzzerMutate == nullptr ? size : LLVMFuzzerMutate(data, size, max);
}
