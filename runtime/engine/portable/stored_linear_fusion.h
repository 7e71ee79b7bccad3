#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_FUSION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_FUSION_H_

// Which products of a graph multiply by weights where they lie (stored_linear.h).
//
// OpenVINO packs a weight for its kernels, float16 widened to float32: twice the bytes of the
// program, once for each function. Where few rows are multiplied, as when a language model makes
// one token, the time is that of reading the weight, and the stored form is the faster one too.
//
// Thread rule: as for the graph being built.

#include <memory>

#include "openvino/core/model.hpp"
#include "runtime/engine/numeric_mode.h"
#include "runtime/engine/portable/shared_weights.h"

namespace coreml_delegate::engine::portable {

// Replaces products by constant weights of rows, float16 or compressed, by StoredLinear nodes whose
// weights get a place in `layout`. In low precision compressed weights are left to OpenVINO's
// integer kernels. To be called before settle_compressed_weights(). Does nothing where there is no
// kernel for the processor.
void use_stored_weights(const std::shared_ptr<ov::Model>& model, NumericMode mode,
                        WeightLayout& layout);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_FUSION_H_
