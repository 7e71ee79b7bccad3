// https://developer.apple.com/documentation/coreml/mlmodel

#import <CoreML/MLArrayBatchProvider.h>
#import <CoreML/MLComputeDevice.h>
#import <CoreML/MLModelAsset.h>
#import <CoreML/MLModelConfiguration.h>
#import <CoreML/MLModelDescription.h>
#import <CoreML/MLPredictionOptions.h>
#import <CoreML/MLState.h>

NS_ASSUME_NONNULL_BEGIN

@interface MLModel : CMLObject {
 @private
  struct CMLModelBox *_box;
  MLModelDescription *_modelDescription;
  MLModelConfiguration *_configuration;
}
@property(readonly, nonatomic) MLModelDescription *modelDescription;
@property(readonly, nonatomic) MLModelConfiguration *configuration;
@property(class, readonly, nonatomic) NSArray *availableComputeDevices;

+ (nullable instancetype)modelWithContentsOfURL:(NSURL *)url
                                          error:(NSError *_Nullable *_Nullable)error;
+ (nullable instancetype)modelWithContentsOfURL:(NSURL *)url
                                  configuration:(MLModelConfiguration *)configuration
                                          error:(NSError *_Nullable *_Nullable)error;
// The handlers of this class may be called on any thread.
+ (void)loadContentsOfURL:(NSURL *)url
            configuration:(MLModelConfiguration *)configuration
        completionHandler:(void (^)(MLModel *_Nullable model, NSError *_Nullable error))handler;
+ (void)loadModelAsset:(MLModelAsset *)asset
         configuration:(MLModelConfiguration *)configuration
     completionHandler:(void (^)(MLModel *_Nullable model, NSError *_Nullable error))handler;

- (nullable id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)input
                                                   error:(NSError *_Nullable *_Nullable)error;
- (nullable id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)input
                                                 options:(MLPredictionOptions *)options
                                                   error:(NSError *_Nullable *_Nullable)error;
- (void)predictionFromFeatures:(id<MLFeatureProvider>)input
                       options:(MLPredictionOptions *)options
             completionHandler:(void (^)(id<MLFeatureProvider> _Nullable output,
                                         NSError *_Nullable error))completionHandler;
- (nullable id<MLBatchProvider>)predictionsFromBatch:(id<MLBatchProvider>)inputBatch
                                             options:(MLPredictionOptions *)options
                                               error:(NSError *_Nullable *_Nullable)error;
@end

// https://developer.apple.com/documentation/coreml/mlmodel/compilemodel(at:)-6442s
@interface MLModel (MLModelCompilation)
// Both leave the .mlmodelc in a temporary place that the caller takes it from.
+ (nullable NSURL *)compileModelAtURL:(NSURL *)modelURL error:(NSError *_Nullable *_Nullable)error;
+ (void)compileModelAtURL:(NSURL *)modelURL
        completionHandler:
            (void (^)(NSURL *_Nullable compiledModelURL, NSError *_Nullable error))handler;
@end

// https://developer.apple.com/documentation/coreml/mlmodel/makestate()
@interface MLModel (MLState)
// Zeros; an empty state for a model without states.
- (MLState *)newState;
- (nullable id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)inputFeatures
                                              usingState:(MLState *)state
                                                   error:(NSError *_Nullable *_Nullable)error;
- (nullable id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)inputFeatures
                                              usingState:(MLState *)state
                                                 options:(MLPredictionOptions *)options
                                                   error:(NSError *_Nullable *_Nullable)error;
@end

NS_ASSUME_NONNULL_END
