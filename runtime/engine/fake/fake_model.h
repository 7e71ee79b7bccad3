#ifndef COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_MODEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_MODEL_H_

// The fake engine's loaded function and its states; for fake_engine.cc.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/engine/engine.h"
#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate::engine {

// Names, dtypes and shapes of a toy function.
FunctionDescription describe_fake_function(const FakeFunction& function);

class FakeModel : public Model {
 public:
  FakeModel(FakeFunction function, std::map<std::string, Bytes> weights, bool accepts_strides,
            std::shared_ptr<FakeControls> controls);
  ~FakeModel() override;

  const FunctionDescription& description() const override { return description_; }
  bool accepts_strides(std::span<const int64_t> shape,
                       std::span<const int64_t> strides) const override;
  Result<std::unique_ptr<State>> make_state(std::span<const InitialStateValue> initial) override;
  Status execute(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
                 const ExecuteOptions& options) override;

 private:
  const FakeFunction function_;
  const FunctionDescription description_;
  const std::map<std::string, Bytes> weights_;
  const bool accepts_strides_;
  const std::shared_ptr<FakeControls> controls_;
};

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_MODEL_H_
