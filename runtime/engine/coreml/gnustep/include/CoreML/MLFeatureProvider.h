// https://developer.apple.com/documentation/coreml/mlfeatureprovider

#import <CoreML/MLFeatureValue.h>

NS_ASSUME_NONNULL_BEGIN

@protocol MLFeatureProvider
@property(readonly, nonatomic) NSSet<NSString *> *featureNames;
- (nullable MLFeatureValue *)featureValueForName:(NSString *)featureName;
@end

// https://developer.apple.com/documentation/coreml/mldictionaryfeatureprovider
@interface MLDictionaryFeatureProvider : CMLObject <MLFeatureProvider> {
 @private
  NSDictionary<NSString *, MLFeatureValue *> *_dictionary;
}
@property(readonly, nonatomic) NSDictionary<NSString *, MLFeatureValue *> *dictionary;
// Values may be feature values or what a feature value can be made of (of this framework:
// multi-arrays and numbers).
- (nullable instancetype)initWithDictionary:(NSDictionary<NSString *, id> *)dictionary
                                      error:(NSError *_Nullable *_Nullable)error;
@end

NS_ASSUME_NONNULL_END
