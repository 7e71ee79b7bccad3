#include "runtime/engine/portable/shared_constants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "openvino/op/constant.hpp"
#include "openvino/op/parameter.hpp"
#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {
namespace {

size_t constants(const std::shared_ptr<ov::Model>& model) {
  const auto nodes = model->get_ordered_ops();
  return static_cast<size_t>(std::count_if(nodes.begin(), nodes.end(), [](const auto& node) {
    return dynamic_cast<const ov::op::v0::Constant*>(node.get()) != nullptr;
  }));
}

Output constant(const ov::element::Type& type, const ov::Shape& shape, double value) {
  return make<ov::op::v0::Constant>(type, shape, std::vector<double>(ov::shape_size(shape), value));
}

std::shared_ptr<ov::Model> sum_of(const ov::OutputVector& values) {
  const auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{1, 128});
  Output sum = x->output(0);
  for (const Output& value : values) sum = add(sum, convert(value, ov::element::f32));
  return std::make_shared<ov::Model>(ov::OutputVector{sum}, ov::ParameterVector{x});
}

TEST(SharedConstantsTest, EqualOnesBecomeOne) {
  const auto model = sum_of({constant(ov::element::f32, {1}, 1), constant(ov::element::f32, {1}, 1),
                             constant(ov::element::f32, {1}, 1)});
  ASSERT_EQ(constants(model), 3u);
  share_small_constants(model);
  EXPECT_EQ(constants(model), 1u);
  share_small_constants(model);
  EXPECT_EQ(constants(model), 1u);
}

TEST(SharedConstantsTest, OfAnotherTypeShapeOrValueStayApart) {
  const auto model = sum_of({constant(ov::element::f32, {1}, 1), constant(ov::element::f32, {}, 1),
                             constant(ov::element::f32, {1, 1}, 1),
                             constant(ov::element::i32, {1}, 1), constant(ov::element::f32, {1}, 2),
                             // The same bytes as 0 of i32, and -0 is not 0.
                             constant(ov::element::f32, {1}, 0), constant(ov::element::i32, {1}, 0),
                             constant(ov::element::f32, {1}, -0.0)});
  share_small_constants(model);
  EXPECT_EQ(constants(model), 8u);
}

TEST(SharedConstantsTest, LargeAndMarkedOnesStayApart) {
  const Output marked = constant(ov::element::f32, {1}, 1);
  marked.get_node()->get_rt_info()["mark"] = 1;
  const auto model =
      sum_of({constant(ov::element::f32, {128}, 1), constant(ov::element::f32, {128}, 1), marked,
              constant(ov::element::f32, {1}, 1)});
  share_small_constants(model);
  EXPECT_EQ(constants(model), 4u);
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
