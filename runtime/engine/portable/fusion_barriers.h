#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_FUSION_BARRIERS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_FUSION_BARRIERS_H_

// Nodes that keep OpenVINO's passes from replacing a part of the program by another whose results
// differ by more than rounding. Its passes take any constant near that of a gelu or hard swish for
// it (up to 1e-3 off), and compute sums of a value and several constants, and products with them,
// with the constants put together first: (x + 1e8) - 1e8 becomes x, (x * 1e30) * 1e30 stays finite
// no longer.

#include <memory>

#include "openvino/core/model.hpp"

namespace coreml_delegate::engine::portable {

void add_fusion_barriers(const std::shared_ptr<ov::Model>& model);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_FUSION_BARRIERS_H_
