#include "runtime/engine/coreml/configuration.h"

#include "runtime/engine/coreml/guard.h"

namespace coreml_delegate::engine::coreml {

namespace {

MLComputeUnits to_core_ml(ComputeUnits units) {
  switch (units) {
    case ComputeUnits::kCpuOnly:
      return MLComputeUnitsCPUOnly;
    case ComputeUnits::kCpuAndGpu:
      return MLComputeUnitsCPUAndGPU;
    case ComputeUnits::kCpuAndNeuralEngine:
      if (@available(macOS 13.0, iOS 16.0, tvOS 16.0, watchOS 9.0, *)) {
        return MLComputeUnitsCPUAndNeuralEngine;
      }
      return MLComputeUnitsAll;
    case ComputeUnits::kAll:
      break;
  }
  return MLComputeUnitsAll;
}

}  // namespace

MLModelConfiguration* make_configuration(const LoadOptions& options, const std::string& function) {
  MLModelConfiguration* const configuration = [[[MLModelConfiguration alloc] init] autorelease];
  configuration.computeUnits = to_core_ml(options.compute_units);
  configuration.allowLowPrecisionAccumulationOnGPU = options.low_precision_accumulation ? YES : NO;
  if (@available(macOS 14.4, iOS 17.4, tvOS 17.4, watchOS 10.4, *)) {
    MLOptimizationHints* const hints = [[[MLOptimizationHints alloc] init] autorelease];
    hints.reshapeFrequency = options.reshape_frequency == ReshapeFrequency::kInfrequent
                                 ? MLReshapeFrequencyHintInfrequent
                                 : MLReshapeFrequencyHintFrequent;
    if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
      hints.specializationStrategy =
          options.specialization_strategy == SpecializationStrategy::kFastPrediction
              ? MLSpecializationStrategyFastPrediction
              : MLSpecializationStrategyDefault;
    }
    configuration.optimizationHints = hints;
  }
  if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
    if (!function.empty()) configuration.functionName = to_ns(function);
  }
  return configuration;
}

}  // namespace coreml_delegate::engine::coreml
