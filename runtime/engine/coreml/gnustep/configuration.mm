// Options and devices.

#include "runtime/engine/coreml/gnustep/framework.h"

@implementation MLOptimizationHints
@synthesize reshapeFrequency = _reshapeFrequency;
@synthesize specializationStrategy = _specializationStrategy;
- (id)copyWithZone:(NSZone *)zone {
  MLOptimizationHints *const copy = [[[self class] allocWithZone:zone] init];
  copy.reshapeFrequency = _reshapeFrequency;
  copy.specializationStrategy = _specializationStrategy;
  return copy;
}
@end

@implementation MLModelConfiguration
@synthesize computeUnits = _computeUnits;
@synthesize allowLowPrecisionAccumulationOnGPU = _allowLowPrecisionAccumulationOnGPU;
@synthesize optimizationHints = _optimizationHints;
@synthesize modelDisplayName = _modelDisplayName;
@synthesize functionName = _functionName;
- (instancetype)init {
  if ((self = [super init])) {
    _computeUnits = MLComputeUnitsAll;
    _optimizationHints = [[MLOptimizationHints alloc] init];
  }
  return self;
}
- (id)copyWithZone:(NSZone *)zone {
  MLModelConfiguration *const copy = [[[self class] allocWithZone:zone] init];
  copy.computeUnits = _computeUnits;
  copy.allowLowPrecisionAccumulationOnGPU = _allowLowPrecisionAccumulationOnGPU;
  copy.optimizationHints = _optimizationHints;
  copy.modelDisplayName = _modelDisplayName;
  copy.functionName = _functionName;
  return copy;
}
- (void)dealloc {
  [_optimizationHints release];
  [_modelDisplayName release];
  [_functionName release];
  [super dealloc];
}
@end

@implementation MLPredictionOptions
@synthesize outputBackings = _outputBackings;
- (instancetype)init {
  if ((self = [super init])) _outputBackings = [[NSDictionary alloc] init];
  return self;
}
- (void)dealloc {
  [_outputBackings release];
  [super dealloc];
}
@end

@implementation MLCPUComputeDevice
@end
@implementation MLGPUComputeDevice
@end
@implementation MLNeuralEngineComputeDevice
- (NSInteger)totalCoreCount {
  return 0;
}
@end

NSArray *MLAllComputeDevices(void) {
  return [NSArray arrayWithObject:[[[MLCPUComputeDevice alloc] init] autorelease]];
}
