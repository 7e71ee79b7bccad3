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

MLModelConfiguration* make_configuration(const CoreMLEngineOptions& engine_options,
                                         ComputeUnits units, const std::string& function) {
  MLModelConfiguration* const configuration = [[[MLModelConfiguration alloc] init] autorelease];
  configuration.computeUnits = to_core_ml(units);
  configuration.allowLowPrecisionAccumulationOnGPU =
      engine_options.allow_low_precision_accumulation ? YES : NO;
  if (@available(macOS 14.4, iOS 17.4, tvOS 17.4, watchOS 10.4, *)) {
    MLOptimizationHints* const hints = [[[MLOptimizationHints alloc] init] autorelease];
    hints.reshapeFrequency = engine_options.shapes_change_seldom ? MLReshapeFrequencyHintInfrequent
                                                                 : MLReshapeFrequencyHintFrequent;
    if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
      hints.specializationStrategy = engine_options.specialize_for_fast_prediction
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
