// https://developer.apple.com/documentation/coreml/mlfeaturevalue

#import <CoreML/MLMultiArray.h>

NS_ASSUME_NONNULL_BEGIN

// https://developer.apple.com/documentation/coreml/mlfeaturetype
typedef NS_ENUM(NSInteger, MLFeatureType) {
  MLFeatureTypeInvalid = 0,
  MLFeatureTypeInt64 = 1,
  MLFeatureTypeDouble = 2,
  MLFeatureTypeString = 3,
  MLFeatureTypeImage = 4,
  MLFeatureTypeMultiArray = 5,
  MLFeatureTypeDictionary = 6,
  MLFeatureTypeSequence = 7,
  MLFeatureTypeState = 8,
};

// Of this framework, multi-arrays and the values that a test passes in their place.
@interface MLFeatureValue : CMLObject <NSCopying> {
 @private
  MLFeatureType _type;
  MLMultiArray *_multiArrayValue;
  double _number;
}
@property(readonly, nonatomic) MLFeatureType type;
@property(readonly, nonatomic, getter=isUndefined) BOOL undefined;
@property(readonly, nullable, nonatomic) MLMultiArray *multiArrayValue;
@property(readonly, nonatomic) int64_t int64Value;
@property(readonly, nonatomic) double doubleValue;
+ (instancetype)featureValueWithMultiArray:(MLMultiArray *)value;
+ (instancetype)featureValueWithInt64:(int64_t)value;
+ (instancetype)featureValueWithDouble:(double)value;
+ (instancetype)undefinedFeatureValueWithType:(MLFeatureType)type;
@end

NS_ASSUME_NONNULL_END
