#include "runtime/engine/portable/shape_check.h"

#include <map>
#include <string>

#include "openvino/core/except.hpp"

namespace coreml_delegate::engine::portable {

ShapeChecker::ShapeChecker(const ov::Model& model) : model_(model.clone()) {}

Status ShapeChecker::check(std::span<const std::vector<int64_t>> shapes) {
  std::vector<std::vector<int64_t>> key(shapes.begin(), shapes.end());
  const std::lock_guard<std::mutex> lock(mutex_);
  if (passed_.contains(key)) return {};
  std::map<size_t, ov::PartialShape> wanted;
  for (size_t i = 0; i < shapes.size(); ++i) wanted[i] = ov::PartialShape(shapes[i]);
  try {
    model_->reshape(wanted);
  } catch (const ov::NodeValidationFailure& error) {
    return invalid_argument("the shapes of the inputs do not fit each other or the function: " + std::string(error.what()));
  } catch (const std::exception& error) {
    return invalid_argument("the shapes of the inputs cannot be executed: " + std::string(error.what()));
  }
  if (passed_.size() >= kRemembered) passed_.clear();
  passed_.insert(std::move(key));
  return {};
}

}  // namespace coreml_delegate::engine::portable
