// Core ML's API for GNUstep: README.md beside this folder says what it is for and what it is not.
// https://developer.apple.com/documentation/coreml

#import <CoreML/MLArrayBatchProvider.h>
#import <CoreML/MLComputeDevice.h>
#import <CoreML/MLComputePlan.h>
#import <CoreML/MLFeatureDescription.h>
#import <CoreML/MLFeatureProvider.h>
#import <CoreML/MLFeatureValue.h>
#import <CoreML/MLModel.h>
#import <CoreML/MLModelAsset.h>
#import <CoreML/MLModelConfiguration.h>
#import <CoreML/MLModelDescription.h>
#import <CoreML/MLModelError.h>
#import <CoreML/MLModelStructure.h>
#import <CoreML/MLMultiArray.h>
#import <CoreML/MLPredictionOptions.h>
#import <CoreML/MLState.h>
