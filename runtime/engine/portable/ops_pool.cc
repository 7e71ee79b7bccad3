// avg_pool, l2_pool, max_pool over one to three spatial axes.

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "openvino/op/avg_pool.hpp"
#include "openvino/op/divide.hpp"
#include "openvino/op/is_nan.hpp"
#include "openvino/op/less.hpp"
#include "openvino/op/max_pool.hpp"
#include "openvino/op/pad.hpp"
#include "openvino/op/select.hpp"
#include "openvino/op/slice.hpp"
#include "openvino/op/sqrt.hpp"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

using ov::op::PadType;
using ov::op::RoundingType;

struct PoolWindow {
  Window window;
  std::vector<int64_t> kernel;
  bool ceil_mode = false;
};

PoolWindow read_pool(const OpContext& op, const Output& x) {
  const int64_t x_rank = rank(x);
  op.require(x_rank >= 3 && x_rank <= 5,
             "x needs rank 3, 4 or 5, but has " + std::to_string(x_rank));
  PoolWindow pool;
  pool.window = read_window(op, x_rank - 2);
  pool.kernel = op.integers("kernel_sizes");
  op.require(pool.kernel.size() == static_cast<size_t>(x_rank - 2),
             "kernel_sizes needs one element per spatial axis");
  for (int64_t size : pool.kernel)
    op.require(size >= 1, "kernel_sizes has an element that is not positive");
  pool.ceil_mode = op.boolean("ceil_mode", false);
  if (pool.ceil_mode) {
    op.require(pool.window.pad_type == Window::PadType::kValid ||
                   pool.window.pad_type == Window::PadType::kCustom,
               "ceil_mode needs pad_type valid or custom");
  }
  return pool;
}

PadType auto_pad(const Window& window) {
  if (window.pad_type == Window::PadType::kSame) return PadType::SAME_UPPER;
  if (window.pad_type == Window::PadType::kSameLower) return PadType::SAME_LOWER;
  return PadType::EXPLICIT;
}

// How far the last window of ceil_mode reaches beyond the padded input. As MIL counts outputs:
// rounded up, but a window that would start in the padding at the end is dropped, where there is
// padding at all.
int64_t overhang(int64_t input, int64_t kernel, int64_t stride, int64_t begin, int64_t end) {
  const int64_t padded = input + begin + end;
  int64_t outputs = (padded - kernel + stride - 1) / stride + 1;
  if ((outputs - 1) * stride >= input + begin && begin + end > 0) --outputs;
  return std::max<int64_t>((outputs - 1) * stride + kernel - padded, 0);
}

// Resolves ceil_mode to pads at the end where the extents are known. False where they are not: then
// `rounding` is what OpenVINO calls the same rule.
bool resolve_ceil_mode(const OpContext& op, const Output& x, const PoolWindow& pool,
                       std::vector<int64_t>& extra, RoundingType& rounding) {
  extra.assign(pool.kernel.size(), 0);
  rounding = RoundingType::FLOOR;
  if (!pool.ceil_mode) return true;
  for (size_t i = 0; i < pool.kernel.size(); ++i) {
    const int64_t input = extent(x, static_cast<int64_t>(i) + 2);
    if (input < 0) {
      rounding = pool.window.has_pads() ? RoundingType::CEIL_TORCH : RoundingType::CEIL;
      return false;
    }
    op.require(input + pool.window.pads_begin[i] + pool.window.pads_end[i] >= pool.kernel[i],
               "the kernel is larger than the padded input");
    extra[i] = overhang(input, pool.kernel[i], pool.window.strides[i], pool.window.pads_begin[i],
                        pool.window.pads_end[i]);
  }
  return true;
}

ov::Shape as_shape(const std::vector<int64_t>& values) {
  return ov::Shape(values.begin(), values.end());
}

std::vector<int64_t> sum(std::vector<int64_t> a, const std::vector<int64_t>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

Output pad_spatial(const Output& x, const std::vector<int64_t>& begin,
                   const std::vector<int64_t>& end) {
  std::vector<int64_t> all_begin = {0, 0}, all_end = {0, 0};
  all_begin.insert(all_begin.end(), begin.begin(), begin.end());
  all_end.insert(all_end.end(), end.begin(), end.end());
  return make<ov::op::v1::Pad>(x, i64(all_begin), i64(all_end), scalar_like(x, 0.0),
                               ov::op::PadMode::CONSTANT);
}

// ceil_mode over unknown extents, after a pool that only rounds up: takes away the windows that
// start in the padding at the end.
Output drop_late_windows(const Output& y, const Output& x, const PoolWindow& pool) {
  if (!pool.window.has_pads()) return y;
  Output result = y;
  for (size_t i = 0; i < pool.kernel.size(); ++i) {
    if (pool.window.pads_begin[i] + pool.window.pads_end[i] == 0) continue;
    // Window w starts at w * stride, which must lie before input + begin.
    const int64_t axis = static_cast<int64_t>(i) + 2, stride = pool.window.strides[i];
    const Output reach = add(dimension_of(x, axis), i64({pool.window.pads_begin[i] + stride - 1}));
    const Output windows = make<ov::op::v1::Divide>(reach, i64({stride}));
    result = make<ov::op::v8::Slice>(result, i64({0}), windows, i64({1}), i64({axis}));
  }
  return result;
}

Output average(const OpContext& op, const Output& x, const PoolWindow& pool, bool exclude_padding) {
  std::vector<int64_t> extra;
  RoundingType rounding;
  resolve_ceil_mode(op, x, pool, extra, rounding);
  const bool overhangs =
      rounding != RoundingType::FLOOR ||
      std::any_of(extra.begin(), extra.end(), [](int64_t pad) { return pad > 0; });
  std::vector<int64_t> begin = pool.window.pads_begin, end = pool.window.pads_end;
  Output padded = x;
  if (overhangs && !exclude_padding) {
    // The divisor counts the padding that was asked for but not the overhang, which OpenVINO's
    // rounding modes do not tell apart: pad explicitly, and leave out what OpenVINO adds.
    if (pool.window.has_pads()) padded = pad_spatial(x, begin, end);
    begin.assign(begin.size(), 0);
    end.assign(end.size(), 0);
    exclude_padding = true;
    if (rounding != RoundingType::FLOOR) {
      const Output y = make<ov::op::v14::AvgPool>(
          padded, as_strides(pool.window.strides), as_shape(begin), as_shape(end),
          as_shape(pool.kernel), exclude_padding, RoundingType::CEIL);
      return drop_late_windows(y, x, pool);
    }
  }
  return make<ov::op::v14::AvgPool>(padded, as_strides(pool.window.strides), as_shape(begin),
                                    as_shape(sum(end, extra)), as_shape(pool.kernel),
                                    exclude_padding, rounding, auto_pad(pool.window));
}

OpResults translate_avg_pool(OpContext& op) {
  const Output x = op.input("x");
  return average(op, x, read_pool(op, x), op.boolean("exclude_padding_from_average", false));
}

// The root of the sum of squares of each window.
OpResults translate_l2_pool(OpContext& op) {
  const Output x = op.input("x");
  const PoolWindow pool = read_pool(op, x);
  std::vector<int64_t> extra;
  RoundingType rounding;
  const bool resolved = resolve_ceil_mode(op, x, pool, extra, rounding);
  // stride - 1 more rows at the end are what rounds the number of windows up.
  if (!resolved) {
    for (size_t i = 0; i < extra.size(); ++i) extra[i] = pool.window.strides[i] - 1;
  }
  // Padding adds nothing to a sum, so an average that counts every element of the window, times
  // their number, is the sum.
  const Output squares = multiply(x, x);
  const std::vector<int64_t> end = sum(pool.window.pads_end, extra);
  Output mean = make<ov::op::v14::AvgPool>(
      resolved ? squares : pad_spatial(squares, pool.window.pads_begin, end),
      as_strides(pool.window.strides),
      resolved ? as_shape(pool.window.pads_begin) : ov::Shape(extra.size(), 0),
      resolved ? as_shape(end) : ov::Shape(extra.size(), 0), as_shape(pool.kernel),
      /*exclude_pad=*/false, RoundingType::FLOOR, auto_pad(pool.window));
  if (!resolved) mean = drop_late_windows(mean, x, pool);
  double count = 1;
  for (int64_t size : pool.kernel) count *= static_cast<double>(size);
  return make<ov::op::v0::Sqrt>(multiply(mean, scalar_like(mean, count)));
}

OpResults translate_max_pool(OpContext& op) {
  const Output x = op.input("x");
  const PoolWindow pool = read_pool(op, x);
  std::vector<int64_t> extra;
  RoundingType rounding;
  resolve_ceil_mode(op, x, pool, extra, rounding);
  const std::vector<int64_t> ones(pool.kernel.size(), 1);
  const auto largest = [&](const Output& value) {
    return make<ov::op::v14::MaxPool>(value, as_strides(pool.window.strides), as_strides(ones),
                                      as_shape(pool.window.pads_begin),
                                      as_shape(sum(pool.window.pads_end, extra)),
                                      as_shape(pool.kernel), rounding, auto_pad(pool.window));
  };
  const Output y = largest(x);
  if (op.numeric_mode() != NumericMode::kFloat16 || op.element("x") != model::ElementType::kFloat16)
    return y;
  // OpenVINO's kernel starts from the lowest number, which is none of a float16, and loses NaN. A
  // second pooling finds the windows that have one.
  const Output is_low = make<ov::op::v1::Less>(y, f32(-1e38f));
  const Output lowest = f32(-std::numeric_limits<float>::infinity());
  const Output without_nan = make<ov::op::v1::Select>(is_low, lowest, y);
  const Output is_nan = convert(make<ov::op::v10::IsNaN>(x), ov::element::f32);
  const Output has_nan = make<ov::op::v1::Less>(f32(0.0f), largest(is_nan));
  return make<ov::op::v1::Select>(has_nan, f32(std::numeric_limits<float>::quiet_NaN()),
                                  without_nan);
}

}  // namespace

OpTable pool_ops() {
  static constexpr OpEntry kOps[] = {
      {"avg_pool", translate_avg_pool},
      {"l2_pool", translate_l2_pool},
      {"max_pool", translate_max_pool, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
