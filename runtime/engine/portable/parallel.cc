#include "runtime/engine/portable/parallel.h"

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <memory>
#include <new>

namespace coreml_delegate::engine::portable {

int64_t arena_threads() { return std::max(1, tbb::this_task_arena::max_concurrency()); }

void parallel_for(int64_t count, const std::function<void(int64_t)>& work) {
  if (count == 1) return work(0);
  tbb::parallel_for(int64_t{0}, count, work, tbb::simple_partitioner());
}

float* thread_scratch(size_t elements) {
  constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* memory) const { ::operator delete(memory, kAlignment); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local size_t size = 0;
  if (size < elements) {
    memory.reset();
    size = 0;
    memory.reset(static_cast<float*>(::operator new(elements * sizeof(float), kAlignment)));
    size = elements;
  }
  return memory.get();
}

}  // namespace coreml_delegate::engine::portable
