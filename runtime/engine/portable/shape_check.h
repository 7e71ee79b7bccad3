#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHAPE_CHECK_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHAPE_CHECK_H_

// Whether a graph with extents known at run time only can be executed with given input shapes. OpenVINO's CPU plugin (2026.4) must
// not be asked: with one thread it swallows the failure of its own shape inference and goes on with stale shapes (wrong results,
// memory overrun), and with any number of threads it does not notice that the columns of a constant MatMul weight do not fit.
//
// Thread rule: check() may be called from several threads.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "base/status.h"
#include "openvino/core/model.hpp"

namespace coreml_delegate::engine::portable {

class ShapeChecker {
 public:
  // Keeps its own copy of the graph, which shares the constants. `model` is not changed.
  explicit ShapeChecker(const ov::Model& model);

  // One shape per input of the model, in order. invalid_argument names the node whose arguments do not fit. A shape that passed
  // is remembered, so that the next call costs a look-up.
  Status check(std::span<const std::vector<int64_t>> shapes);

 private:
  static constexpr size_t kRemembered = 4096;

  std::mutex mutex_;
  std::shared_ptr<ov::Model> model_;
  std::set<std::vector<std::vector<int64_t>>> passed_;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHAPE_CHECK_H_
