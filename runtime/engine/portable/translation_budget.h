#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATION_BUDGET_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATION_BUDGET_H_

// How many bytes one translation may compute constants with. A few bytes of a program can stand for
// gigabytes (a value that repeats, a palette of vectors, a grid of two scalars), so whatever makes
// a constant while a graph is built charges it here before it allocates:
//
//   TranslationBudget budget(TranslationBudget::limit(function.stored_bytes));
//   ...
//   TranslationBudget::charge(count, sizeof(float));  // Throws OpError when it is used up.
//   std::vector<float> values(count);
//
// What was freed since is not given back: the budget bounds time as well.
//
// Thread rule: a budget is that of the thread that made it, one at a time.

#include <cstdint>

namespace coreml_delegate::engine::portable {

class TranslationBudget {
 public:
  // What a program whose package stores `stored_bytes` may use. An element of one bit becomes a
  // float32, and is unpacked and transposed on the way: about 100 bytes for each stored one.
  static uint64_t limit(uint64_t stored_bytes);

  explicit TranslationBudget(uint64_t bytes);
  ~TranslationBudget();
  TranslationBudget(const TranslationBudget&) = delete;
  TranslationBudget& operator=(const TranslationBudget&) = delete;

  // Takes count * size bytes from the budget of this thread's translation: resource_exhausted when
  // they are not left. Does nothing outside a translation.
  static void charge(uint64_t count, uint64_t size = 1);

 private:
  const uint64_t bytes_;
  uint64_t used_ = 0;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATION_BUDGET_H_
