#include "runtime/engine/portable/graph_extra.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <string>

#include "openvino/op/divide.hpp"
#include "openvino/op/reshape.hpp"
#include "openvino/op/slice.hpp"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {

Output exact_divide(const Output& a, const Output& b) {
  auto node = std::make_shared<ov::op::v1::Divide>(a, b);
  // The key OpenVINO's own ov::NonconvertibleDivide attribute has; its class is not among the
  // installed headers.
  node->get_rt_info()["nonconvertable_divide_0"] = true;
  return node->output(0);
}

Output reverse_axis(const Output& value, int64_t axis) {
  if (extent(value, axis) == 1) return value;
  return make<ov::op::v8::Slice>(value, i64({-1}), i64({std::numeric_limits<int64_t>::min()}),
                                 i64({-1}), i64({axis}));
}

Output reshape_keeping(const Output& value, const std::vector<int64_t>& shape) {
  return make<ov::op::v1::Reshape>(value, i64(shape), /*special_zero=*/true);
}

Output f32_constant(const std::vector<float>& values, const std::vector<int64_t>& shape) {
  TranslationBudget::charge(values.size(), sizeof(float));
  return make<ov::op::v0::Constant>(ov::element::f32, ov::Shape(shape.begin(), shape.end()),
                                    values);
}

Output i32_constant(const std::vector<int32_t>& values, const std::vector<int64_t>& shape) {
  TranslationBudget::charge(values.size(), sizeof(int32_t));
  return make<ov::op::v0::Constant>(ov::element::i32, ov::Shape(shape.begin(), shape.end()),
                                    values);
}

bool is_all_zero(const OpContext& op, std::string_view name) {
  if (!op.is_constant(name)) return false;
  const std::vector<float> values = op.reals(name);
  return std::all_of(values.begin(), values.end(), [](float value) { return value == 0.0f; });
}

Output per_channel(const Output& vector, int64_t rank) {
  std::vector<int64_t> shape(static_cast<size_t>(rank), 1);
  shape[1] = -1;
  return reshape(vector, shape);
}

bool Window::has_pads() const {
  const auto positive = [](int64_t pad) { return pad != 0; };
  return std::any_of(pads_begin.begin(), pads_begin.end(), positive) ||
         std::any_of(pads_end.begin(), pads_end.end(), positive);
}

Window read_window(const OpContext& op, int64_t spatial_rank) {
  const size_t n = static_cast<size_t>(spatial_rank);
  const auto check = [&](const std::vector<int64_t>& values, const char* name) {
    op.require(values.size() == n, std::string(name) + " needs one element per spatial axis");
    for (int64_t value : values) {
      op.require(value >= 1 && value <= std::numeric_limits<int32_t>::max(),
                 std::string(name) + " has an element that is not positive");
    }
  };
  Window window;
  window.strides = op.integers("strides", std::vector<int64_t>(n, 1));
  check(window.strides, "strides");
  window.dilations = op.integers("dilations", std::vector<int64_t>(n, 1));
  check(window.dilations, "dilations");
  std::string type = op.string("pad_type", "valid");
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  window.pads_begin.assign(n, 0);
  window.pads_end.assign(n, 0);
  if (type == "same") {
    window.pad_type = Window::PadType::kSame;
  } else if (type == "same_lower") {
    window.pad_type = Window::PadType::kSameLower;
  } else if (type == "custom") {
    window.pad_type = Window::PadType::kCustom;
    const std::vector<int64_t> pads = op.integers("pad", std::vector<int64_t>(2 * n, 0));
    op.require(pads.size() == 2 * n, "pad needs two elements per spatial axis");
    for (size_t i = 0; i < n; ++i) {
      op.require(pads[2 * i] >= 0 && pads[2 * i + 1] >= 0 &&
                     pads[2 * i] <= std::numeric_limits<int32_t>::max() &&
                     pads[2 * i + 1] <= std::numeric_limits<int32_t>::max(),
                 "pad has a negative element");
      window.pads_begin[i] = pads[2 * i];
      window.pads_end[i] = pads[2 * i + 1];
    }
  } else if (type != "valid") {
    op.fail("unknown pad_type \"" + type + "\"");
  }
  return window;
}

}  // namespace coreml_delegate::engine::portable
