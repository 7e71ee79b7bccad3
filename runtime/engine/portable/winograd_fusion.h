#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_FUSION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_FUSION_H_

// 3x3 convolutions of stride 1 with dense weights become a WinogradConvolution each, together with
// the bias, the sum and the relu or clamp that follow, where its shape makes that faster than
// OpenVINO's direct convolution. Whether the processor does is winograd_kernel_is_fast().
//
// Thread rule: as for the graph being built.

#include <memory>

#include "openvino/core/model.hpp"

namespace coreml_delegate::engine::portable {

// Rewrites what matches exactly, leaves everything else alone. Values that something else reads
// stay in the graph.
void use_winograd_convolutions(const std::shared_ptr<ov::Model>& model);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_FUSION_H_
