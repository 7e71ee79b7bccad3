#include "runtime/engine/portable/parallel.h"

#include <algorithm>

#if __has_include(<tbb/parallel_for.h>)
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#define COREML_DELEGATE_HAS_TBB 1
#endif

namespace coreml_delegate::engine::portable {

#ifdef COREML_DELEGATE_HAS_TBB

int64_t arena_threads() { return std::max(1, tbb::this_task_arena::max_concurrency()); }

void parallel_for(int64_t count, const std::function<void(int64_t)>& work) {
  if (count == 1) return work(0);
  tbb::parallel_for(int64_t{0}, count, work, tbb::simple_partitioner());
}

#else  // The machine that this was built on has no libtbb-dev.

int64_t arena_threads() { return 1; }

void parallel_for(int64_t count, const std::function<void(int64_t)>& work) {
  for (int64_t i = 0; i < count; ++i) work(i);
}

#endif

}  // namespace coreml_delegate::engine::portable
