#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_ENGINE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_ENGINE_H_

// The engine "coreml": models on Core ML. Plain C++; what is behind it is Objective-C++ against
// Apple's public API. docs/apple.md.
//
// It runs on macOS 12, iOS 15, tvOS 15 and watchOS 8 and newer. What needs more, and what happens
// below:
//   states (macOS 15, iOS 18)                      make_state(): unsupported
//   a function that is not the default (the same)  load(): unsupported
//   float16 inputs and outputs (iOS 16)            load(): unsupported
//   results written in place (iOS 16)              copied
//   cancelling a compilation (macOS 13, iOS 16)    noticed before and after it, not during it; so is
//                                                  the timeout
//   compute units CPU and neural engine (iOS 16)   all compute units
//   how often shapes change (macOS 14.4, iOS 17.4) ignored
//   the specialization strategy (macOS 15, iOS 18) ignored
//   estimates (macOS 14.4, iOS 17.4)               unsupported
//
// Thread rule: as engine.h; executions of one Model are serialised, since an MLModel serves one at
// a time.

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

struct CoreMLEngineOptions {
  // A compilation that takes longer fails with resource_exhausted; zero: it may take as long as it
  // takes. Core ML cannot be stopped: its result is thrown away when it comes.
  std::chrono::milliseconds compile_timeout{0};
};

// Registered as "coreml" by the library :register. Costs nothing until it is used.
std::unique_ptr<Engine> make_core_ml_engine(CoreMLEngineOptions options = {});

// --- Beyond engine.h ---

struct BatchEntry {
  std::span<const ConstTensorView> inputs;
  std::span<TensorView> outputs;
};

// Executes a model of this engine on several inputs in one call to Core ML, which may run them
// faster than one after the other. Outputs are copied: a batch uses no backings. For functions
// without states. What can be known is checked before anything executes; invalid_argument for a
// model of another engine.
Status execute_batch(Model& model, std::span<const BatchEntry> entries);

// What Core ML estimates of one operation before it has run. Estimates, not measurements: they
// never reach an EventSink.
struct OperationEstimate {
  std::string output;            // The operation's first output.
  std::string type;              // As Core ML names it: "ios16.add".
  double estimated_cost = 0;     // The share of the function, 0 to 1.
  std::string preferred_device;  // "cpu", "gpu", "neural_engine".
  std::vector<std::string> supported_devices;
};

// From MLComputePlan, of the folder that compile() made, in the order of execution. Operations that
// cost nothing (constants) are left out. cancelled, and resource_exhausted after `timeout` (zero:
// none), return at once; Core ML goes on in the background and its answer is dropped.
Result<std::vector<OperationEstimate>> estimate_operations(
    const std::string& folder, const LoadOptions& options,
    std::chrono::milliseconds timeout = std::chrono::milliseconds(0));

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_CORE_ML_ENGINE_H_
