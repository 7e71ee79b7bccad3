#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ATTENTION_FUSION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ATTENTION_FUSION_H_

// Attention as torch lowers it, brought into the form OpenVINO runs as one kernel.
//
// Lowered scaled_dot_product_attention multiplies matrices of rank 3 (batch and heads merged), and
// guards its softmax: rows of scores that are minus infinity throughout give zeros instead of NaN.
// The guard reads the scores a second time, which keeps OpenVINO from merging MatMul, Add, Softmax
// and MatMul: MiniLM ran half as fast as from OpenVINO's own conversion.
//
// Rewritten: rank 4 throughout, and the guard taken from the mask instead of from the scores,
// applied to the result. That is the same wherever the products of query and key are finite. Where
// one is not (it overflowed float32, or an input is NaN), a guarded row can differ: NaN for 0, or 0
// for NaN. In NumericMode::kFloat16, where such overflow is what one looks for, nothing is
// rewritten.
//
// Thread rule: as for the graph being built.

#include <memory>

#include "openvino/core/model.hpp"

namespace coreml_delegate::engine::portable {

// Rewrites what matches exactly, leaves everything else alone. Values that something else reads are
// never rewritten.
void fuse_attention(const std::shared_ptr<ov::Model>& model);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_ATTENTION_FUSION_H_
