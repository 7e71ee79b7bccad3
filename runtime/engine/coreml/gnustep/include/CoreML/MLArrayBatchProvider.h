// https://developer.apple.com/documentation/coreml/mlarraybatchprovider

#import <CoreML/MLFeatureProvider.h>

NS_ASSUME_NONNULL_BEGIN

@protocol MLBatchProvider
@property(readonly, nonatomic) NSInteger count;
- (id<MLFeatureProvider>)featuresAtIndex:(NSInteger)index;
@end

@interface MLArrayBatchProvider : CMLObject <MLBatchProvider> {
 @private
  NSArray *_array;
}
@property(readonly, nonatomic) NSArray *array;
- (instancetype)initWithFeatureProviderArray:(NSArray *)array;
@end

NS_ASSUME_NONNULL_END
