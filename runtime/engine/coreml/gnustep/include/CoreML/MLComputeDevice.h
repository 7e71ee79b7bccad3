// https://developer.apple.com/documentation/coreml/mlcomputedevice

#import <CoreML/MLExport.h>

NS_ASSUME_NONNULL_BEGIN

@protocol MLComputeDeviceProtocol <NSObject>
@end

// The only device there is here; the other two exist to be asked for by class.
@interface MLCPUComputeDevice : CMLObject <MLComputeDeviceProtocol>
@end
@interface MLGPUComputeDevice : CMLObject <MLComputeDeviceProtocol>
@end
@interface MLNeuralEngineComputeDevice : CMLObject <MLComputeDeviceProtocol>
@property(readonly, nonatomic) NSInteger totalCoreCount;
@end

NSArray *MLAllComputeDevices(void);

NS_ASSUME_NONNULL_END
