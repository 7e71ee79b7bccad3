// One kernel; BUILD.bazel compiles this file once for each set of instructions, with
//
//   COREML_DELEGATE_RECURRENT_KERNEL  the function of recurrent_kernel.h that is defined here
//   COREML_DELEGATE_RECURRENT_LANES   floats in a vector
//
// and the flags of that set: recurrent_kernel_impl.h says what that forbids.

#include "runtime/engine/portable/recurrent_kernel_impl.h"

namespace coreml_delegate::engine::portable {

const RecurrentKernel& COREML_DELEGATE_RECURRENT_KERNEL() {
  using Variant = Kernel<COREML_DELEGATE_RECURRENT_LANES>;
  static constexpr RecurrentKernel kKernel = {Variant::run, Variant::kTakesHalves};
  return kKernel;
}

}  // namespace coreml_delegate::engine::portable
