#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_H_

// A node that computes y = x W^T by stored_linear_kernel.h, with W where the program or the compiled
// folder has it (shared_weights.h). OpenVINO sees no constant: it neither widens, packs nor exports
// the weight.

#include <cstdint>
#include <memory>

#include "openvino/op/op.hpp"
#include "runtime/engine/portable/shared_weights.h"
#include "runtime/engine/portable/stored_linear_kernel.h"

namespace coreml_delegate::engine::portable {

// W, with what keeps it alive. The pointers of `matrix` are those of the weights.
struct StoredWeight {
  StoredMatrix matrix;
  PlacedWeight data, scale, offset;
};

class StoredLinear : public ov::op::Op {
 public:
  OPENVINO_OP("StoredLinear", "coreml_delegate");

  StoredLinear() = default;
  // x: f32 [..., columns]. The result is [..., rows].
  StoredLinear(const ov::Output<ov::Node>& x, std::shared_ptr<const StoredWeight> weight);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  // Reading a graph, it takes the weight from the thread's file of weights.
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
  bool has_evaluate() const override { return true; }

  const StoredWeight& weight() const { return *weight_; }

 private:
  std::shared_ptr<const StoredWeight> weight_;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_H_
