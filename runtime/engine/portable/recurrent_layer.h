#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_LAYER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_LAYER_H_

// A node that runs a recurrent layer over all steps by recurrent_kernel.h. OpenVINO's own sequence
// nodes take the transposed layout, lack activations, peepholes and clipping, and are slower: a
// step of theirs is a product of matrices with packing and a call of its own.

#include <cstdint>
#include <memory>
#include <vector>

#include "openvino/op/op.hpp"
#include "runtime/engine/portable/recurrent_kernel.h"

namespace coreml_delegate::engine::portable {

class RecurrentLayer : public ov::op::Op {
 public:
  OPENVINO_OP("RecurrentLayer", "coreml_delegate");

  enum class Direction : int64_t {
    kForward,
    kReverse,         // From the last step; the sequence of results is in that order too.
    kReverseAligned,  // From the last step; the sequence of results is in the order of x.
    kBidirectional,   // A forward and an aligned reverse one beside each other.
  };

  struct Attributes {
    RecurrentLayerShape shape;  // hidden: of one direction.
    Direction direction = Direction::kForward;
    bool has_peephole = false;
    bool has_half_weights = false;

    int64_t directions() const { return direction == Direction::kBidirectional ? 2 : 1; }
  };

  RecurrentLayer() = default;
  // All f32 but for weights in float16, which are u8, as OpenVINO would widen them:
  //   x         [steps, batch, directions * gates * hidden], the products of the inputs
  //   weights   [directions, shape.weights_size()] of pack_recurrent_weights(), or twice the bytes
  //   bias      [directions, gates * shape.padded_units()] of pad_recurrent_rows()
  //   h, and for an LSTM c  [batch, directions * hidden]
  //   peephole, if there is one  [directions, 3 * shape.padded_units()] of pad_recurrent_rows()
  // The results are the sequence [steps, batch, directions * hidden], the last h and, for an LSTM, the
  // last c.
  RecurrentLayer(const ov::OutputVector& inputs, const Attributes& attributes);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

 private:
  Attributes attributes_;
};

// Rows of `hidden` values each, as rows of padded_units() with zeros at their ends.
std::vector<float> pad_recurrent_rows(const RecurrentLayerShape& shape,
                                      const std::vector<float>& rows);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_LAYER_H_
