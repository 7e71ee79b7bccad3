// https://developer.apple.com/documentation/coreml/mlmodeldescription

#import <CoreML/MLFeatureDescription.h>

NS_ASSUME_NONNULL_BEGIN

// The dictionaries have no order.
@interface MLModelDescription : CMLObject {
 @private
  NSDictionary<NSString *, MLFeatureDescription *> *_inputs;
  NSDictionary<NSString *, MLFeatureDescription *> *_outputs;
  NSDictionary<NSString *, MLFeatureDescription *> *_states;
}
@property(readonly, nonatomic)
    NSDictionary<NSString *, MLFeatureDescription *> *inputDescriptionsByName;
@property(readonly, nonatomic)
    NSDictionary<NSString *, MLFeatureDescription *> *outputDescriptionsByName;
@property(readonly, nonatomic)
    NSDictionary<NSString *, MLFeatureDescription *> *stateDescriptionsByName;
@end

NS_ASSUME_NONNULL_END
