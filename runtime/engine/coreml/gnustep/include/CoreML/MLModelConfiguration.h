// https://developer.apple.com/documentation/coreml/mlmodelconfiguration

#import <CoreML/MLExport.h>

NS_ASSUME_NONNULL_BEGIN

// https://developer.apple.com/documentation/coreml/mlcomputeunits
typedef NS_ENUM(NSInteger, MLComputeUnits) {
  MLComputeUnitsCPUOnly = 0,
  MLComputeUnitsCPUAndGPU = 1,
  MLComputeUnitsAll = 2,
  MLComputeUnitsCPUAndNeuralEngine = 3,
};

typedef NS_ENUM(NSInteger, MLReshapeFrequencyHint) {
  MLReshapeFrequencyHintFrequent = 0,
  MLReshapeFrequencyHintInfrequent = 1,
};

typedef NS_ENUM(NSInteger, MLSpecializationStrategy) {
  MLSpecializationStrategyDefault = 0,
  MLSpecializationStrategyFastPrediction = 1,
};

// https://developer.apple.com/documentation/coreml/mloptimizationhints-swift.class
@interface MLOptimizationHints : CMLObject <NSCopying> {
 @private
  MLReshapeFrequencyHint _reshapeFrequency;
  MLSpecializationStrategy _specializationStrategy;
}
@property(readwrite, nonatomic) MLReshapeFrequencyHint reshapeFrequency;
@property(readwrite, nonatomic) MLSpecializationStrategy specializationStrategy;
@end

@interface MLModelConfiguration : CMLObject <NSCopying> {
 @private
  MLComputeUnits _computeUnits;
  BOOL _allowLowPrecisionAccumulationOnGPU;
  NSString *_functionName;
  NSString *_modelDisplayName;
  MLOptimizationHints *_optimizationHints;
}
@property(readwrite, nonatomic) MLComputeUnits computeUnits;
@property(readwrite, nonatomic) BOOL allowLowPrecisionAccumulationOnGPU;
@property(readwrite, copy, nonatomic) MLOptimizationHints *optimizationHints;
@property(readwrite, nullable, copy, nonatomic) NSString *modelDisplayName;
// nil: the default function.
@property(readwrite, nullable, copy, nonatomic) NSString *functionName;
@end

NS_ASSUME_NONNULL_END
