#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_MODEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_MODEL_H_

// One function, loaded by Core ML. Objective-C++.
//
// Inputs are multi-arrays over the caller's memory. Outputs are written to the caller's memory as
// output backings when the extents of all of them are known before executing; where Core ML takes
// no backing, and in executions with an output of open shape, results are copied once all are known
// to fit. That is decided anew for every execution.
//
// A failed execution leaves states as they were when an output's shape is open (their values are
// kept beside and put back); else a failure inside Core ML may have changed them, and its message
// says so: a copy of every state for every execution would cost more than it saves.
//
// Thread rule: as engine.h; executions are serialised.

#import <CoreML/CoreML.h>

#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/private_folder.h"
#include "base/status.h"
#include "runtime/engine/coreml/core_ml_engine.h"
#include "runtime/engine/coreml/objc_ptr.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

class CoreMLState;

class CoreMLModel : public Model {
 public:
  // `folder` is kept as long as the model is; may be null.
  CoreMLModel(ObjCPtr<MLModel> model, FunctionDescription description,
              std::shared_ptr<const PrivateFolder> folder);

  const FunctionDescription& description() const override { return description_; }
  // What shares no memory: MLMultiArray takes any strides.
  bool accepts_strides(std::span<const int64_t> shape,
                       std::span<const int64_t> strides) const override;
  Result<std::unique_ptr<State>> make_state(std::span<const InitialStateValue> initial) override;
  Status execute(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
                 const ExecuteOptions& options) override;
  Status execute_batch(std::span<const BatchEntry> entries);

 private:
  // Of outputs whose extents are known, which are written to the views' shapes.
  Status check_known_capacities(std::span<TensorView> outputs) const;
  Result<MLDictionaryFeatureProvider*> bind_inputs(std::span<const ConstTensorView> inputs) const;
  // Multi-arrays over the outputs, in their order; empty when results are to be copied.
  Result<std::vector<MLMultiArray*>> bind_outputs(std::span<const TensorView> outputs) const;
  // Copies what is not in its backing; nothing is written unless everything fits.
  Status take_results(id<MLFeatureProvider> result, std::span<MLMultiArray* const> backings,
                      std::span<TensorView> outputs) const;
  Result<id<MLFeatureProvider>> predict(MLDictionaryFeatureProvider* inputs,
                                        std::span<MLMultiArray* const> backings,
                                        NSObject* state) const;
  Status run(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
             CoreMLState* state);

  const ObjCPtr<MLModel> model_;
  const FunctionDescription description_;
  const std::shared_ptr<const PrivateFolder> folder_;
  // The extents of each output that has fixed ones.
  std::vector<std::vector<int64_t>> fixed_outputs_;
  bool all_outputs_fixed_ = true;
  Mutex mutex_;  // Held by each prediction.
};

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_MODEL_H_
