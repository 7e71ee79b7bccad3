#include "runtime/engine/portable/parallel.h"

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>

namespace coreml_delegate::engine::portable {

int64_t arena_threads() { return std::max(1, tbb::this_task_arena::max_concurrency()); }

void parallel_for(int64_t count, const std::function<void(int64_t)>& work) {
  if (count == 1) return work(0);
  tbb::parallel_for(int64_t{0}, count, work, tbb::simple_partitioner());
}

}  // namespace coreml_delegate::engine::portable
