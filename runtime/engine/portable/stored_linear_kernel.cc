#include "runtime/engine/portable/stored_linear_kernel.h"

#if defined(__x86_64__)
#include "base/cpu_features.h"
#endif

namespace coreml_delegate::engine::portable {
namespace {

const StoredLinearKernel* choose() {
#if defined(__x86_64__)
  if (cpu_features().has(kAvx512Core)) return &stored_linear_kernel_avx512();
  if (cpu_features().has({CpuFeature::kAvx2, CpuFeature::kFma, CpuFeature::kF16c}))
    return &stored_linear_kernel_avx2();
#endif
  return nullptr;
}

}  // namespace

const StoredLinearKernel* stored_linear_kernel() {
  static const StoredLinearKernel* const chosen = choose();
  return chosen;
}

}  // namespace coreml_delegate::engine::portable
