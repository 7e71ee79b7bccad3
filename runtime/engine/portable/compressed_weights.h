#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPRESSED_WEIGHTS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPRESSED_WEIGHTS_H_

// Weights that stay int4, uint4, int8 or uint8 in memory while the graph runs.
//
// OpenVINO's fully connected kernel multiplies by such a weight without expanding it when the
// weight reaches MatMul(transpose_b) as Constant -> Convert -> [Subtract] -> Multiply -> [Reshape]
// with scales per tensor, per row, or per row and group of columns. Elsewhere the same nodes are
// worse than a dense constant: never folded, so computed again in each run, and wrong for scales
// per column (measured on 2026.4: relative error 0.2, no message). So: constexpr_* operations make
// the compressed form where it can be of use, and once the graph is complete a MatMul without
// transpose_b gets a transposed copy where that has such scales, a Gather of rows of 8 bits picks
// them before they are expanded, and every other user gets a dense constant.
//
// On x86-64 that kernel needs AVX2 (measured on 2026.4: without it a model does not load); a
// processor without has dense weights.
//
// Thread rule: as for the graph being built.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/cpu_features.h"
#include "openvino/core/model.hpp"
#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {

// scale * (data - offset), block by block: extent(data, i) is a multiple of scale_shape[i].
struct AffineWeight {
  model::ConstantPtr data;
  std::vector<int64_t> scale_shape;  // Of the rank of data.
  std::vector<float> scale;
  model::ConstantPtr
      stored_scale;           // The same as float16 or float32 elements; null: made of `scale`.
  model::ConstantPtr offset;  // Of scale_shape, null for none.
  model::ElementType result = model::ElementType::kFloat32;  // kFloat16 or kFloat32.
};

// Every element computed in float32 and rounded once to the result type. Throws for data that are
// not numbers.
model::ConstantPtr dequantize(const AffineWeight& weight);

// Whether OpenVINO has its kernel for compressed weights on a processor of these features.
bool multiplies_compressed_weights(const CpuFeatures& features);

// The compressed form, or null where OpenVINO has no kernel for it or it is too small to be worth
// it.
std::optional<Output> compress(const AffineWeight& weight);

// The compressed weight that a value is, as compress() made it; null for another value, and for all
// once they are settled.
std::shared_ptr<const AffineWeight> marked_weight(const Output& value);

// Leaves compressed weights only where they are the weight of a MatMul or rows are picked from
// them; every other user of one gets its dense constant. To be called once on the complete graph; looks into the bodies of its
// control flow too.
void settle_compressed_weights(const std::shared_ptr<ov::Model>& model);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_COMPRESSED_WEIGHTS_H_
