#ifndef COREML_DELEGATE_RUNTIME_ENGINE_HELPER_LIMITS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_HELPER_LIMITS_H_

#include <cstdint>

namespace coreml_delegate::engine::helper {

// Takes precautions for work that may crash, hang or take all memory, in this whole process: no
// core file, an end after `timeout_seconds` (SIGALRM; 0: none), at most `memory_limit_bytes` of
// memory beyond what there is now (0: no limit; Linux only). On Linux, the process ends when the
// thread that started it does (at once where that is `parent` and has ended; 0: not asked), and is
// the first to go when the system's memory runs out. What the system refuses is left out.
void limit_this_process(int32_t timeout_seconds, int64_t memory_limit_bytes, int32_t parent);

}  // namespace coreml_delegate::engine::helper

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_HELPER_LIMITS_H_
