#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WEIGHT_ROLES_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WEIGHT_ROLES_H_

// One role for each weight.
//
// OpenVINO 2026.4.1 packs a weight once for all operations of a graph that read the same bytes and
// want them packed the same way, and takes no notice of how each reads them: of a square matrix
// that one product reads as it is and another transposed, one product gets the other's weight. So
// do a convolution and a transposed convolution of one weight. Equal constants become one when a
// compiled graph is exported, so that a copy would not help: whoever reads a weight in a second
// role gets it in other bytes.
//
// Thread rule: as for the graph being built.

#include <memory>

#include "openvino/core/model.hpp"

namespace coreml_delegate::engine::portable {

// Of the graph and of the bodies of its control flow, together. Results are the same to the bit,
// but for sums of a convolution beyond half of float32's range.
void separate_weight_roles(const std::shared_ptr<ov::Model>& model);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WEIGHT_ROLES_H_
