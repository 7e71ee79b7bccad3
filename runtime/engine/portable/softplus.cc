#include "runtime/engine/portable/softplus.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "runtime/engine/portable/parallel.h"

namespace coreml_delegate::engine::portable {
namespace {

// Elements of one turn of the loop that the compiler makes vector instructions of.
constexpr size_t kBlock = 64;
// Elements of one thread's part.
constexpr size_t kPart = 1 << 14;

float power_of_two(int32_t exponent) {
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

// exp(y) for y in [-104, 0]: 2^n exp(r) with |r| <= log(2) / 2, and exp(r) by its series, of which
// the first term left out is 6e-9.
float exp_of_negative(float y) {
  constexpr float kLog2E = 0x1.715476p+0f;
  // log(2) in two parts, so that n times the first is exact.
  constexpr float kLog2High = 0x1.62e4p-1f, kLog2Low = 0x1.7f7d1cp-20f;
  const auto n = static_cast<int32_t>(y * kLog2E - 0.5f);
  const float count = static_cast<float>(n);
  const float r = (y - count * kLog2High) - count * kLog2Low;
  float series = 1.0f / 5040;
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 1.0f / 2;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  // In two steps: 2^-150 is no float.
  const int32_t half = n / 2;
  return series * power_of_two(half) * power_of_two(n - half);
}

// log(1 + u) for u in [0, 1]: twice the series of the inverse hyperbolic tangent of u / (2 + u),
// whose first term left out is 2e-9 of it.
float log_of_one_plus(float u) {
  const float s = u / (2.0f + u);
  const float z = s * s;
  float series = 1.0f / 15;
  series = series * z + 1.0f / 13;
  series = series * z + 1.0f / 11;
  series = series * z + 1.0f / 9;
  series = series * z + 1.0f / 7;
  series = series * z + 1.0f / 5;
  series = series * z + 1.0f / 3;
  return 2.0f * s + 2.0f * s * z * series;
}

void softplus(const float* x, float* y) {
  for (size_t i = 0; i < kBlock; ++i) {
    const float value = x[i];
    const float magnitude = value < 0.0f ? value : -value;
    const float limited = magnitude > -104.0f ? magnitude : -104.0f;
    const float sum = (value > 0.0f ? value : 0.0f) + log_of_one_plus(exp_of_negative(limited));
    y[i] = value == value ? sum : value;
  }
}

}  // namespace

Softplus::Softplus(const ov::Output<ov::Node>& value) : Op({value}) {
  constructor_validate_and_infer_types();
}

void Softplus::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, get_input_element_type(0).compatible(ov::element::f32),
                        "Softplus takes f32");
  set_output_type(0, ov::element::f32, get_input_partial_shape(0));
}

std::shared_ptr<ov::Node> Softplus::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<Softplus>(inputs[0]);
}

bool Softplus::visit_attributes(ov::AttributeVisitor&) { return true; }

bool Softplus::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  if (inputs[0].get_element_type() != ov::element::f32) return false;
  outputs[0].set_shape(inputs[0].get_shape());
  const size_t count = inputs[0].get_size();
  const float* const x = inputs[0].data<const float>();
  float* const y = outputs[0].data<float>();
  parallel_for(static_cast<int64_t>((count + kPart - 1) / kPart), [&](int64_t part) {
    const size_t begin = static_cast<size_t>(part) * kPart, end = std::min(count, begin + kPart);
    size_t i = begin;
    for (; i + kBlock <= end; i += kBlock) softplus(x + i, y + i);
    if (i == end) return;
    float rest[kBlock] = {};
    std::copy(x + i, x + end, rest);
    softplus(rest, rest);
    std::copy_n(rest, end - i, y + i);
  });
  return true;
}

}  // namespace coreml_delegate::engine::portable
