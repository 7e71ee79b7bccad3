// What Core ML estimates of a model's operations.

#import <CoreML/CoreML.h>

#include <chrono>
#include <memory>
#include <optional>

#include "base/file.h"
#include "base/mutex.h"
#include "runtime/engine/compile_request.h"
#include "runtime/engine/coreml/compiled_folder.h"
#include "runtime/engine/coreml/configuration.h"
#include "runtime/engine/coreml/core_ml_engine.h"
#include "runtime/engine/coreml/guard.h"

namespace coreml_delegate::engine::coreml {

namespace {

using Estimates = std::vector<OperationEstimate>;

std::string device_name(id device) {
  if (@available(macOS 14.0, iOS 17.0, tvOS 17.0, watchOS 10.0, *)) {
    if ([device isKindOfClass:[MLCPUComputeDevice class]]) return "cpu";
    if ([device isKindOfClass:[MLGPUComputeDevice class]]) return "gpu";
    if ([device isKindOfClass:[MLNeuralEngineComputeDevice class]]) return "neural_engine";
  }
  return "unknown";
}

// How often a cancellation is looked for.
constexpr std::chrono::milliseconds kPoll{10};

// Shared with the completion handler, which may come after its caller has left.
struct Pending {
  Mutex mutex;
  ConditionVariable changed;
  std::optional<Result<Estimates>> result COREML_DELEGATE_GUARDED_BY(mutex);
};

Result<Estimates> read_plan(MLComputePlan* plan, NSError* error, const std::string& function,
                            const std::string& folder)
    API_AVAILABLE(macos(14.4), ios(17.4), tvos(17.4), watchos(10.4));

Result<Estimates> read_plan(MLComputePlan* plan, NSError* error, const std::string& function,
                            const std::string& folder) {
  if (plan == nil) return status_of_error(error, "plan the model", folder);
  MLModelStructureProgramFunction* const planned =
      [plan.modelStructure.program.functions objectForKey:to_ns(function)];
  if (planned == nil) return engine_failure("Core ML's plan has no such function", function);
  Estimates estimates;
  for (MLModelStructureProgramOperation* operation in planned.block.operations) {
    MLComputePlanCost* const cost = [plan estimatedCostOfMLProgramOperation:operation];
    MLComputePlanDeviceUsage* const usage =
        [plan computeDeviceUsageForMLProgramOperation:operation];
    if (cost == nil || usage == nil) continue;
    OperationEstimate& estimate = estimates.emplace_back();
    if ([operation.outputs count] > 0) {
      MLModelStructureProgramNamedValueType* const output = [operation.outputs objectAtIndex:0];
      estimate.output = from_ns(output.name);
    }
    estimate.type = from_ns(operation.operatorName);
    estimate.estimated_cost = cost.weight;
    estimate.preferred_device = device_name(usage.preferredComputeDevice);
    for (id device in usage.supportedComputeDevices) {
      estimate.supported_devices.push_back(device_name(device));
    }
  }
  return estimates;
}

// The result; a failure when the caller's patience ended first.
Result<Estimates> wait(Pending& pending, const std::string& folder,
                       const CancellationToken* cancellation, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const MutexLock lock(pending.mutex);
  while (!pending.result.has_value()) {
    pending.changed.wait_for(pending.mutex, kPoll);
    if (pending.result.has_value()) break;
    if (cancellation != nullptr && cancellation->is_cancelled())
      return cancelled("the caller cancelled the plan", folder);
    if (timeout.count() > 0 && std::chrono::steady_clock::now() >= deadline) {
      return resource_exhausted(
          "Core ML did not plan the model within " + std::to_string(timeout.count()) + " ms",
          folder);
    }
  }
  return *std::move(pending.result);
}

}  // namespace

Result<std::vector<OperationEstimate>> estimate_operations(const std::string& folder,
                                                           const LoadOptions& options,
                                                           std::chrono::milliseconds timeout) {
  const std::unique_ptr<Engine> engine = make_core_ml_engine();
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CompiledFunction function,
                                   read_description(real_file_system(), folder));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CompileRequest request, engine->plan({}, options));
  COREML_DELEGATE_RETURN_IF_ERROR(
      check_compiled_for(function.request, function.description.name, request, folder));
  const std::string name = function.description.name;
  if (@available(macOS 14.4, iOS 17.4, tvOS 17.4, watchOS 10.4, *)) {
    const auto pending = std::make_shared<Pending>();
    COREML_DELEGATE_RETURN_IF_ERROR(guarded("plan the model", folder, [&]() -> Status {
      // Copies of this scope's own: a block keeps only a reference to what a lambda refers to.
      const std::shared_ptr<Pending> shared = pending;
      const std::string path = folder, planned = name;
      [MLComputePlan loadContentsOfURL:folder_url(compiled_model_path(folder))
                         configuration:make_configuration(options, function.function_to_select)
                     completionHandler:^(MLComputePlan* plan, NSError* error) {
                       Result<Estimates> result = guarded("plan the model", path, [&] {
                         return read_plan(plan, error, planned, path);
                       });
                       const MutexLock lock(shared->mutex);
                       shared->result = std::move(result);
                       shared->changed.notify_all();
                     }];
      return {};
    }));
    return wait(*pending, folder, options.cancellation, timeout);
  }
  return unsupported("estimates need macOS 14.4, iOS 17.4, tvOS 17.4 or watchOS 10.4", folder);
}

}  // namespace coreml_delegate::engine::coreml
