#include "runtime/engine/portable/random_values.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <vector>

#include "openvino/core/attribute_visitor.hpp"
#include "openvino/op/constant.hpp"

namespace coreml_delegate::engine::portable {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): the same sequence everywhere, unlike the distributions of
// <random>.
class Generator {
 public:
  explicit Generator(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [0, 1), 24 bits: a float.
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }
  // Box and Muller.
  float normal() {
    const double radius =
        std::sqrt(-2.0 * std::log(1.0 - static_cast<double>(next() >> 11) * 0x1p-53));
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(next() >> 11) * 0x1p-53;
    return static_cast<float>(radius * std::cos(angle));
  }

 private:
  uint64_t state_;
};

uint64_t seed_of_system() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

// The index that a uniform number picks from the softmax of a row.
float pick(const float* logits, size_t count, float uniform) {
  const float largest = *std::max_element(logits, logits + count);
  double total = 0;
  for (size_t i = 0; i < count; ++i) total += std::exp(static_cast<double>(logits[i]) - largest);
  double left = uniform * total;
  size_t last_possible = 0;
  for (size_t i = 0; i < count; ++i) {
    const double weight = std::exp(static_cast<double>(logits[i]) - largest);
    if (weight > 0) last_possible = i;
    if (left < weight) return static_cast<float>(i);
    left -= weight;
  }
  return static_cast<float>(last_possible);
}

}  // namespace

RandomValues::RandomValues(const ov::OutputVector& inputs, const RandomParameters& parameters)
    : Op(inputs),
      distribution_(static_cast<int64_t>(parameters.distribution)),
      first_(parameters.first),
      second_(parameters.second),
      seed_(parameters.seed),
      samples_(parameters.samples) {
  constructor_validate_and_infer_types();
}

void RandomValues::validate_and_infer_types() {
  const ov::PartialShape& input = get_input_partial_shape(0);
  if (static_cast<Distribution>(distribution_) == Distribution::kCategorical) {
    NODE_VALIDATION_CHECK(this, input.rank().is_static() && input.size() > 0,
                          "the logits need an axis");
    ov::PartialShape shape = input;
    shape[shape.size() - 1] = samples_;
    set_output_type(0, ov::element::f32, shape);
    return;
  }
  ov::PartialShape shape = ov::PartialShape::dynamic();
  if (auto constant = ov::as_type_ptr<ov::op::v0::Constant>(input_value(0).get_node_shared_ptr())) {
    std::vector<ov::Dimension> dimensions;
    for (int64_t extent : constant->cast_vector<int64_t>()) {
      NODE_VALIDATION_CHECK(this, extent >= 0, "the shape has a negative extent");
      dimensions.emplace_back(extent);
    }
    shape = ov::PartialShape(std::move(dimensions));
  } else if (input.is_static()) {
    shape =
        ov::PartialShape::dynamic(ov::Rank(static_cast<int64_t>(ov::shape_size(input.to_shape()))));
  }
  set_output_type(0, ov::element::f32, shape);
}

std::shared_ptr<ov::Node> RandomValues::clone_with_new_inputs(
    const ov::OutputVector& inputs) const {
  check_new_args_count(this, inputs);
  return std::make_shared<RandomValues>(
      inputs,
      RandomParameters{static_cast<Distribution>(distribution_), first_, second_, seed_, samples_});
}

bool RandomValues::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("distribution", distribution_);
  visitor.on_attribute("first", first_);
  visitor.on_attribute("second", second_);
  visitor.on_attribute("seed", seed_);
  visitor.on_attribute("samples", samples_);
  return true;
}

bool RandomValues::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  Generator generator(seed_ == -1 ? seed_of_system() : static_cast<uint64_t>(seed_));
  const auto distribution = static_cast<Distribution>(distribution_);
  const ov::Tensor& input = inputs[0];
  if (distribution == Distribution::kCategorical) {
    if (input.get_element_type() != ov::element::f32) return false;
    ov::Shape shape = input.get_shape();
    const size_t classes = shape.back();
    shape.back() = static_cast<size_t>(samples_);
    outputs[0].set_shape(shape);
    float* out = outputs[0].data<float>();
    OPENVINO_ASSERT(classes != 0 || outputs[0].get_size() == 0,
                    "a sample from no classes cannot be drawn (", get_friendly_name(), ")");
    const size_t rows = classes == 0 ? 0 : input.get_size() / classes;
    for (size_t row = 0; row < rows; ++row) {
      const float* logits = input.data<const float>() + row * classes;
      for (int64_t i = 0; i < samples_; ++i) *out++ = pick(logits, classes, generator.uniform());
    }
    return true;
  }
  ov::Shape shape;
  for (size_t i = 0; i < input.get_size(); ++i) {
    int64_t extent = 0;
    if (input.get_element_type() == ov::element::i64) {
      extent = input.data<const int64_t>()[i];
    } else if (input.get_element_type() == ov::element::i32) {
      extent = input.data<const int32_t>()[i];
    } else {
      return false;
    }
    OPENVINO_ASSERT(extent >= 0, "the shape of random values has a negative extent");
    shape.push_back(static_cast<size_t>(extent));
  }
  outputs[0].set_shape(shape);
  float* out = outputs[0].data<float>();
  const size_t count = outputs[0].get_size();
  for (size_t i = 0; i < count; ++i) {
    switch (distribution) {
      case Distribution::kUniform: {
        // Rounding may reach the upper end, which is excluded.
        const float value = first_ + (second_ - first_) * generator.uniform();
        out[i] = first_ < second_ && value >= second_ ? std::nextafter(second_, first_) : value;
        break;
      }
      case Distribution::kNormal:
        out[i] = first_ + second_ * generator.normal();
        break;
      default:
        out[i] = generator.uniform() < first_ ? 1.0f : 0.0f;
        break;
    }
  }
  return true;
}

}  // namespace coreml_delegate::engine::portable
