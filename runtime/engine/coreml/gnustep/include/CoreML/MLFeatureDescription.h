// https://developer.apple.com/documentation/coreml/mlfeaturedescription

#import <CoreML/MLFeatureValue.h>

NS_ASSUME_NONNULL_BEGIN

// https://developer.apple.com/documentation/coreml/mlmultiarrayshapeconstrainttype
typedef NS_ENUM(NSInteger, MLMultiArrayShapeConstraintType) {
  MLMultiArrayShapeConstraintTypeUnspecified = 1,
  MLMultiArrayShapeConstraintTypeEnumerated = 2,
  MLMultiArrayShapeConstraintTypeRange = 3,
};

@interface MLMultiArrayShapeConstraint : CMLObject {
 @private
  MLMultiArrayShapeConstraintType _type;
  NSArray<NSValue *> *_sizeRangeForDimension;
  NSArray<NSArray<NSNumber *> *> *_enumeratedShapes;
}
@property(readonly, nonatomic) MLMultiArrayShapeConstraintType type;
// NSValues of NSRange, when the type is Range: the smallest extent, and how many extents are
// allowed from there on.
@property(readonly, nonatomic) NSArray<NSValue *> *sizeRangeForDimension;
@property(readonly, nonatomic) NSArray<NSArray<NSNumber *> *> *enumeratedShapes;
@end

@interface MLMultiArrayConstraint : CMLObject {
 @private
  NSArray<NSNumber *> *_shape;
  MLMultiArrayDataType _dataType;
  MLMultiArrayShapeConstraint *_shapeConstraint;
}
// The fixed or default shape; empty where a model does not say one.
@property(readonly, nonatomic) NSArray<NSNumber *> *shape;
@property(readonly, nonatomic) MLMultiArrayDataType dataType;
@property(readonly, nonatomic) MLMultiArrayShapeConstraint *shapeConstraint;
@end

@interface MLStateConstraint : CMLObject {
 @private
  NSArray<NSNumber *> *_bufferShape;
  MLMultiArrayDataType _dataType;
}
@property(readonly, nonatomic) NSArray<NSNumber *> *bufferShape;
@property(readonly, nonatomic) MLMultiArrayDataType dataType;
@end

@interface MLFeatureDescription : CMLObject <NSCopying> {
 @private
  NSString *_name;
  MLFeatureType _type;
  BOOL _optional;
  MLMultiArrayConstraint *_multiArrayConstraint;
  MLStateConstraint *_stateConstraint;
}
@property(readonly, nonatomic, copy) NSString *name;
@property(readonly, nonatomic) MLFeatureType type;
@property(readonly, nonatomic, getter=isOptional) BOOL optional;
@property(readonly, nullable, nonatomic) MLMultiArrayConstraint *multiArrayConstraint;
@property(readonly, nullable, nonatomic) MLStateConstraint *stateConstraint;
- (BOOL)isAllowedValue:(MLFeatureValue *)value;
@end

NS_ASSUME_NONNULL_END
