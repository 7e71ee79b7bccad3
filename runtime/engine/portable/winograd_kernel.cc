#include "runtime/engine/portable/winograd_kernel.h"

#if defined(__x86_64__)
#include "base/cpu_features.h"
#endif

namespace coreml_delegate::engine::portable {
namespace {

const WinogradKernel& choose() {
#if defined(__x86_64__)
  if (cpu_features().has(kAvx512Core)) return winograd_kernel_avx512();
  if (cpu_features().has({CpuFeature::kAvx2, CpuFeature::kFma})) return winograd_kernel_avx2();
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
