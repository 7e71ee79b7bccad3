#include "runtime/engine/portable/winograd_kernel.h"

namespace coreml_delegate::engine::portable {
namespace {

const WinogradKernel& choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    return winograd_kernel_avx512();
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return winograd_kernel_avx2();
  }
#endif
  return winograd_kernel_baseline();
}

}  // namespace

const WinogradKernel& winograd_kernel() {
  static const WinogradKernel& chosen = choose();
  return chosen;
}

bool winograd_kernel_is_fast() { return &winograd_kernel() != &winograd_kernel_baseline(); }

}  // namespace coreml_delegate::engine::portable
