#include "runtime/engine/portable/recurrent_kernel.h"

#include <algorithm>

#if defined(__x86_64__)
#include "base/cpu_features.h"
#endif

namespace coreml_delegate::engine::portable {
namespace {

const RecurrentKernel& choose() {
#if defined(__x86_64__)
  if (cpu_features().has(kAvx512Core)) return recurrent_kernel_avx512();
  if (cpu_features().has({CpuFeature::kAvx2, CpuFeature::kFma, CpuFeature::kF16c}))
    return recurrent_kernel_avx2();
#endif
  return recurrent_kernel_baseline();
}

// Gates [first, first + count) as [blocks][hidden][count][16]; returns the end of what was written.
float* pack_gates(const RecurrentLayerShape& shape, int64_t first, int64_t count,
                  const float* weights, float* packed) {
  for (int64_t block = 0; block < shape.blocks(); ++block) {
    const int64_t unit_begin = block * kRecurrentBlock;
    const int64_t units = std::min(kRecurrentBlock, shape.hidden - unit_begin);
    for (int64_t k = 0; k < shape.hidden; ++k) {
      for (int64_t gate = first; gate < first + count; ++gate) {
        const float* const column = weights + (gate * shape.hidden + unit_begin) * shape.hidden + k;
        for (int64_t unit = 0; unit < units; ++unit) packed[unit] = column[unit * shape.hidden];
        std::fill(packed + units, packed + kRecurrentBlock, 0.0f);
        packed += kRecurrentBlock;
      }
    }
  }
  return packed;
}

}  // namespace

void pack_recurrent_weights(const RecurrentLayerShape& shape, const float* weights, float* packed) {
  if (shape.cell == RecurrentCell::kGru) {
    packed = pack_gates(shape, 0, 2, weights, packed);
    pack_gates(shape, 2, 1, weights, packed);
    return;
  }
  pack_gates(shape, 0, shape.gates(), weights, packed);
}

const RecurrentKernel& recurrent_kernel() {
  static const RecurrentKernel& chosen = choose();
  return chosen;
}

}  // namespace coreml_delegate::engine::portable
