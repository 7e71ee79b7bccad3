#include "runtime/engine/portable/winograd_kernel.h"

namespace coreml_delegate::engine::portable {

const WinogradKernel* winograd_kernel() {
#if defined(__x86_64__)
  static const WinogradKernel* const found = [] {
    __builtin_cpu_init();
    // Asked first: what is compiled for a set of instructions is only called where there are these.
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq")) {
      return winograd_kernel_avx512();
    }
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has_avx2 ? winograd_kernel_avx2() : nullptr;
  }();
  return found;
#else
  return nullptr;
#endif
}

}  // namespace coreml_delegate::engine::portable
