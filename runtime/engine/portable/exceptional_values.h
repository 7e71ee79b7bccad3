#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXCEPTIONAL_VALUES_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXCEPTIONAL_VALUES_H_

// NaN, infinity and what lies near zero, through nodes whose kernels lose them. OpenVINO's relu,
// clamp, maximum and minimum make a number of NaN, its exp makes infinity of NaN, its gelu NaN of
// infinity, its softmax zeros beside NaN;
// its erf and elu are exact to a part of 1, not of the result.

#include <memory>

#include "openvino/core/model.hpp"

namespace coreml_delegate::engine::portable {

// Rewrites such nodes so that NaN stays NaN. A relu, clamp, elu or gelu that OpenVINO computes
// inside the convolution or matrix product before it is left alone: alone it would be one more pass over
// the values (docs/engine.md, "Numeric modes", says what that costs).
void keep_exceptional_values(const std::shared_ptr<ov::Model>& model);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_EXCEPTIONAL_VALUES_H_
