// One kernel; BUILD.bazel compiles this file once for each set of instructions, with
//
//   COREML_DELEGATE_STORED_LINEAR_KERNEL  the function of stored_linear_kernel.h defined here
//   COREML_DELEGATE_STORED_LINEAR_LANES   floats in a vector
//
// and the flags of that set: stored_linear_kernel_impl.h says what that forbids. Empty where the
// target is not x86-64.

#if defined(__x86_64__)

#include "runtime/engine/portable/stored_linear_kernel_impl.h"

namespace coreml_delegate::engine::portable {

const StoredLinearKernel& COREML_DELEGATE_STORED_LINEAR_KERNEL() {
  using Variant = Kernel<COREML_DELEGATE_STORED_LINEAR_LANES>;
  static constexpr StoredLinearKernel kKernel = {Variant::scratch_size, Variant::run};
  return kKernel;
}

}  // namespace coreml_delegate::engine::portable

#endif
