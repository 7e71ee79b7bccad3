// https://developer.apple.com/documentation/coreml/mlstate

#import <CoreML/MLMultiArray.h>

NS_ASSUME_NONNULL_BEGIN

// The state buffers of one model. Predictions with one state must not overlap, nor may its buffers
// be touched during one.
@interface MLState : CMLObject {
 @private
  struct CMLStateBox *_box;
}
// The array is a view that is valid in the block only.
- (void)getMultiArrayForStateNamed:(NSString *)stateName
                           handler:(void(NS_NOESCAPE ^)(MLMultiArray *buffer))handler;
- (instancetype)init NS_UNAVAILABLE;
+ (instancetype)new NS_UNAVAILABLE;
@end

NS_ASSUME_NONNULL_END
