// Compiled with the flags of its instruction set: see winograd_kernel_impl.h for what that forbids.

#include "runtime/engine/portable/winograd_kernel.h"

#if defined(__AVX512F__)
#include "runtime/engine/portable/winograd_kernel_impl.h"
#endif

namespace coreml_delegate::engine::portable {

const WinogradKernel* winograd_kernel_avx512() {
#if defined(__AVX512F__)
  static constexpr WinogradKernel kKernel = {Kernel<16>::scratch_size, Kernel<16>::run};
  return &kKernel;
#else
  return nullptr;
#endif
}

}  // namespace coreml_delegate::engine::portable
