#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_STATE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_STATE_H_

// States over MLState (macOS 15, iOS 18). Objective-C++.
//
// An MLState belongs to the MLModel that made it, and Apple's pages promise nothing about using it
// with another. engine.h lets one State serve several functions of a package; so a State here holds
// an MLState per model that used it and copies a value over when another model needs it: once per
// change of function, nothing while one function runs.
//
// Thread rule: as engine.h says of a State: a second use at the same time is refused.

#import <CoreML/CoreML.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "runtime/engine/coreml/objc_ptr.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

class CoreMLState : public State {
 public:
  // `specs` are the states of `model`, not empty. `initial` must name some of them, with values of
  // their sizes.
  static Result<std::unique_ptr<CoreMLState>> create(MLModel* model, std::vector<TensorSpec> specs,
                                                     std::span<const InitialStateValue> initial);

  Status reset() override;
  Status read(std::string_view name, std::span<std::byte> destination) const override;
  Status write(std::string_view name, ByteSpan source) override;
  Result<std::unique_ptr<State>> copy() const override;

  // Claims the state for one use; ok() says whether it was free.
  class Use {
   public:
    explicit Use(const CoreMLState& state) : state_(state), held_(!state.busy_.exchange(true)) {}
    ~Use() {
      if (held_) state_.busy_ = false;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Status status() const;

   private:
    const CoreMLState& state_;
    bool held_;
  };

  // --- For the model, under a Use and inside guarded() ---

  // The MLState of `model`, holding the present values of `specs`, its states. invalid_argument
  // names one that this state lacks.
  Result<NSObject*> prepare(MLModel* model, const std::vector<TensorSpec>& specs);
  // Every value, to be put back by restore() after a failure.
  using Snapshot = std::map<std::string, std::vector<std::byte>>;
  Result<Snapshot> snapshot() const;
  Status restore(const Snapshot& snapshot);

 private:
  struct Holder {
    ObjCPtr<MLModel> model;
    ObjCPtr<NSObject>
        state;  // An MLState: the class is newer than the oldest system that this is compiled for.
  };
  struct Value {
    TensorSpec spec;
    size_t holder = 0;                                      // Where its present value is.
    std::shared_ptr<const std::vector<std::byte>> initial;  // Null: zeros.
  };

  CoreMLState() = default;
  Result<const Value*> find(std::string_view name, size_t size) const;
  Status read_value(const Value& value, std::span<std::byte> destination) const;
  Status write_value(const Value& value, ByteSpan source);
  Status reset_values();

  std::vector<Holder> holders_;
  std::vector<Value> values_;
  mutable std::atomic<bool> busy_{false};
};

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_STATE_H_
