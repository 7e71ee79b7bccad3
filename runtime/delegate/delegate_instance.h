#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_DELEGATE_INSTANCE_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_DELEGATE_INSTANCE_H_

// One delegate call of one loaded method: what ExecuTorch's handle points at.

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/event_tracer.h>
#include <executorch/runtime/core/span.h>

#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "blob/blob.h"
#include "runtime/delegate/argument_binding.h"
#include "runtime/delegate/compiled_model_provider.h"
#include "runtime/delegate/event_bridge.h"
#include "runtime/delegate/options.h"
#include "runtime/delegate/shared_states.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

// With whom a function may share its states.
struct StateSharing {
  SharedStates* states = nullptr;  // Null: with nobody.
  const void* program = nullptr;   // SharedStates::Key. Null: with nobody.
};

// Thread rule: members may be called from several threads at once; executions and resets of one
// instance happen one after the other.
class DelegateInstance {
 public:
  // Loads the function the call names (else the one that serves `method_name`, else the only one),
  // and compares what the blob says about it with what the engine found. `call` is not kept: only
  // what the engine holds on to stays in memory. A function that the call names among several of a
  // blob of ours shares its states with the others, as far as `sharing` lets it.
  static Result<std::unique_ptr<DelegateInstance>> create(const blob::DelegateCall& call,
                                                          const std::string& method_name,
                                                          const DelegateOptions& options,
                                                          CompiledModelProvider& provider,
                                                          executorch::runtime::EventTracer* tracer,
                                                          const StateSharing& sharing = {});

  // `args`: the inputs in the blob's order, then the outputs. A failed call leaves the function's
  // states as they were, so that a caller may try again without applying an update twice; where the
  // engine cannot promise that (Core ML with states, once it has begun), the status says that the
  // states may have changed, and reset_states() is the way on.
  Status execute(executorch::runtime::Span<executorch::runtime::EValue*> args,
                 executorch::runtime::EventTracer* tracer);

  // States back to what the blob starts them with, for every function that shares them. Success
  // where there are none.
  Status reset_states();

  const std::string& method_name() const { return method_name_; }
  bool has_states() const { return states_ != nullptr; }

 private:
  DelegateInstance(std::string method_name, std::string name, std::shared_ptr<engine::Model> model,
                   std::shared_ptr<StateHolder> states, BindingPlan plan);

  Status execute_locked(executorch::runtime::Span<executorch::runtime::EValue*> args,
                        executorch::runtime::EventTracer* tracer) COREML_DELEGATE_REQUIRES(mutex_);
  // What execute_locked() does once the arguments are bound. `state`: the function's, null where
  // it has none; replaced where an execution must be taken back.
  Status run(std::unique_ptr<engine::State>* state, executorch::runtime::EventTracer* tracer,
             EventBridge& events) COREML_DELEGATE_REQUIRES(mutex_);

  const std::string method_name_;
  const std::string name_;  // "function main of method forward", for messages.
  const std::shared_ptr<engine::Model> model_;
  Mutex mutex_;
  const std::shared_ptr<StateHolder> states_;  // Null where there are none. Locked after mutex_.
  ArgumentBinding binding_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_DELEGATE_INSTANCE_H_
