#include "runtime/engine/portable/translation_budget.h"

#include <limits>
#include <string>

#include "runtime/engine/portable/op_error.h"

namespace coreml_delegate::engine::portable {
namespace {

constexpr uint64_t kBase = uint64_t{1} << 30;
constexpr uint64_t kPerStoredByte = 256;

thread_local TranslationBudget* current = nullptr;

}  // namespace

uint64_t TranslationBudget::limit(uint64_t stored_bytes) {
  uint64_t bytes;
  if (__builtin_mul_overflow(stored_bytes, kPerStoredByte, &bytes) ||
      __builtin_add_overflow(bytes, kBase, &bytes)) {
    return std::numeric_limits<uint64_t>::max();
  }
  return bytes;
}

TranslationBudget::TranslationBudget(uint64_t bytes) : bytes_(bytes) { current = this; }

TranslationBudget::~TranslationBudget() { current = nullptr; }

void TranslationBudget::charge(uint64_t count, uint64_t size) {
  if (current == nullptr) return;
  uint64_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > current->bytes_ - current->used_) {
    throw OpError(resource_exhausted(
        "the constants that are computed from the program's constants take more than the " +
        std::to_string(current->bytes_) +
        " bytes that a package of this size may use; a model that stores its weights as it uses "
        "them has no such limit"));
  }
  current->used_ += bytes;
}

}  // namespace coreml_delegate::engine::portable
