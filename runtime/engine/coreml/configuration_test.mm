#import "runtime/engine/coreml/configuration.h"

#include <gtest/gtest.h>

#include <string>

namespace coreml_delegate::engine::coreml {
namespace {

TEST(ConfigurationTest, NothingAskedForIsCoreMLsOwnDefault) {
  @autoreleasepool {
    MLModelConfiguration* const made = make_configuration({}, "");
    MLModelConfiguration* const untouched = [[[MLModelConfiguration alloc] init] autorelease];
    EXPECT_EQ(made.computeUnits, untouched.computeUnits);
    EXPECT_EQ(made.computeUnits, MLComputeUnitsAll);
    EXPECT_EQ(made.allowLowPrecisionAccumulationOnGPU, NO);
    EXPECT_EQ(made.optimizationHints.reshapeFrequency, MLReshapeFrequencyHintFrequent);
    EXPECT_EQ(made.optimizationHints.specializationStrategy, MLSpecializationStrategyDefault);
    EXPECT_TRUE(made.functionName == nil);
  }
}

TEST(ConfigurationTest, EveryOptionReachesIt) {
  @autoreleasepool {
    const struct {
      ComputeUnits asked;
      MLComputeUnits given;
    } kUnits[] = {{ComputeUnits::kAll, MLComputeUnitsAll},
                  {ComputeUnits::kCpuOnly, MLComputeUnitsCPUOnly},
                  {ComputeUnits::kCpuAndGpu, MLComputeUnitsCPUAndGPU},
                  {ComputeUnits::kCpuAndNeuralEngine, MLComputeUnitsCPUAndNeuralEngine}};
    for (const auto& units : kUnits) {
      EXPECT_EQ(make_configuration({.compute_units = units.asked}, "").computeUnits, units.given);
    }
    EXPECT_EQ(make_configuration({.low_precision_accumulation = true}, "")
                  .allowLowPrecisionAccumulationOnGPU,
              YES);
    EXPECT_EQ(make_configuration({.reshape_frequency = ReshapeFrequency::kInfrequent}, "")
                  .optimizationHints.reshapeFrequency,
              MLReshapeFrequencyHintInfrequent);
    EXPECT_EQ(
        make_configuration({.specialization_strategy = SpecializationStrategy::kFastPrediction}, "")
            .optimizationHints.specializationStrategy,
        MLSpecializationStrategyFastPrediction);
    // In place of the options' own.
    MLModelConfiguration* const of_function =
        make_configuration({.function_name = "prefill"}, "decode");
    EXPECT_TRUE([of_function.functionName isEqualToString:@"decode"]);
  }
}

}  // namespace
}  // namespace coreml_delegate::engine::coreml
