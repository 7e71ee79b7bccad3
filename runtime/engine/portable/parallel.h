#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PARALLEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PARALLEL_H_

// Threads inside one node of a graph. The node's evaluate() runs in the TBB arena of its request,
// so that these are OpenVINO's own threads, as many as the model was compiled for.

#include <cstddef>
#include <cstdint>
#include <functional>

namespace coreml_delegate::engine::portable {

// How many threads the calling thread's arena has; at least 1.
int64_t arena_threads();

// Calls work(i) for each i in [0, count), on the threads of the arena and in any order; returns
// after the last. Where a call throws, one such exception reaches the caller and calls not begun
// are left out.
void parallel_for(int64_t count, const std::function<void(int64_t)>& work);

// The calling thread's scratch memory, aligned to 64 bytes, with what the last call left there. It
// keeps the largest size that was asked for, until the thread ends.
float* thread_scratch(size_t elements);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PARALLEL_H_
