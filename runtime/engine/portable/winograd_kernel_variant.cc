// One kernel; BUILD.bazel compiles this file once for each set of instructions, with
//
//   COREML_DELEGATE_WINOGRAD_KERNEL  the function of winograd_kernel.h that is defined here
//   COREML_DELEGATE_WINOGRAD_LANES   floats in a vector
//
// and the flags of that set: winograd_kernel_impl.h says what that forbids.

#include "runtime/engine/portable/winograd_kernel_impl.h"

namespace coreml_delegate::engine::portable {

const WinogradKernel& COREML_DELEGATE_WINOGRAD_KERNEL() {
  using Variant = Kernel<COREML_DELEGATE_WINOGRAD_LANES>;
  static constexpr WinogradKernel kKernel = {Variant::scratch_size, Variant::run};
  return kKernel;
}

}  // namespace coreml_delegate::engine::portable
