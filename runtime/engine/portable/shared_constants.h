#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHARED_CONSTANTS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHARED_CONSTANTS_H_

// Small constants of a graph that are equal, made one: axes, shapes, bounds of slices, epsilons. A
// language model has thousands of them, a third of its nodes, and each costs OpenVINO some 20 KB
// and its share of the time of loading.
//
// Thread rule: as for the graph being built.

#include <memory>

#include "openvino/core/model.hpp"

namespace coreml_delegate::engine::portable {

// Of the graph itself; bodies of its control flow are left alone.
void share_small_constants(const std::shared_ptr<ov::Model>& model);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHARED_CONSTANTS_H_
