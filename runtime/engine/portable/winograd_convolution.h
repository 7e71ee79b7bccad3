#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_CONVOLUTION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_CONVOLUTION_H_

// A node that computes a 3x3 convolution of stride 1 by winograd_kernel.h, and what usually follows
// one: a bias, the sum with a value of the same shape, and limits such as those of relu. Channels
// come last, which is how OpenVINO's own convolutions keep them in memory.

#include <cstdint>
#include <memory>
#include <vector>

#include "openvino/op/constant.hpp"
#include "openvino/op/op.hpp"

namespace coreml_delegate::engine::portable {

class WinogradConvolution : public ov::op::Op {
 public:
  OPENVINO_OP("WinogradConvolution", "coreml_delegate");

  struct Attributes {
    int64_t out_channels = 0;
    std::vector<int64_t> pads_begin = {0, 0};  // Rows and columns of zeros; not negative.
    std::vector<int64_t> pads_end = {0, 0};
    // y = min(max(y, lowest), highest), as far as there are limits.
    bool has_lowest = false, has_highest = false;
    float lowest = 0, highest = 0;
  };

  WinogradConvolution() = default;
  // All f32. x: [n, height, width, in channels], static. weights: packed_weights(), converted.
  // bias: [out channels]. residual, if given: the result's shape.
  WinogradConvolution(const ov::OutputVector& x_weights_bias_residual, Attributes attributes);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

  // A constant [out blocks, in channels, 9, 32] of weights [out channels, in channels, 3, 3], of
  // the same type.
  static std::shared_ptr<ov::Node> packed_weights(const ov::op::v0::Constant& weights);

 private:
  Attributes attributes_;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_CONVOLUTION_H_
