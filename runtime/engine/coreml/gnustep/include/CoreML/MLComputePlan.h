// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n

#import <CoreML/MLComputeDevice.h>
#import <CoreML/MLModelConfiguration.h>
#import <CoreML/MLModelStructure.h>

NS_ASSUME_NONNULL_BEGIN

@interface MLComputePlanCost : CMLObject {
 @private
  double _weight;
}
// The share of the whole model, 0 to 1: an estimate.
@property(readonly, nonatomic) double weight;
@end

@interface MLComputePlanDeviceUsage : CMLObject
@property(readonly, nonatomic) NSArray *supportedComputeDevices;
@property(readonly, nonatomic) id<MLComputeDeviceProtocol> preferredComputeDevice;
@end

// Of this framework: every operation costs the same and runs on the CPU, constants cost nothing. It
// says nothing of Apple's hardware.
@interface MLComputePlan : CMLObject {
 @private
  MLModelStructure *_modelStructure;
  NSInteger _operationCount;
}
@property(readonly, nonatomic) MLModelStructure *modelStructure;
+ (void)loadContentsOfURL:(NSURL *)url
            configuration:(MLModelConfiguration *)configuration
        completionHandler:
            (void (^)(MLComputePlan *_Nullable computePlan, NSError *_Nullable error))handler;
- (nullable MLComputePlanDeviceUsage *)computeDeviceUsageForMLProgramOperation:
    (MLModelStructureProgramOperation *)operation;
- (nullable MLComputePlanCost *)estimatedCostOfMLProgramOperation:
    (MLModelStructureProgramOperation *)operation;
- (instancetype)init NS_UNAVAILABLE;
+ (instancetype)new NS_UNAVAILABLE;
@end

NS_ASSUME_NONNULL_END
