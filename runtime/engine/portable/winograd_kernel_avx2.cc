// Compiled with the flags of its instruction set: see winograd_kernel_impl.h for what that forbids.

#include "runtime/engine/portable/winograd_kernel.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "runtime/engine/portable/winograd_kernel_impl.h"
#endif

namespace coreml_delegate::engine::portable {

const WinogradKernel* winograd_kernel_avx2() {
#if defined(__AVX2__) && defined(__FMA__)
  static constexpr WinogradKernel kKernel = {Kernel<8>::scratch_size, Kernel<8>::run};
  return &kKernel;
#else
  return nullptr;
#endif
}

}  // namespace coreml_delegate::engine::portable
