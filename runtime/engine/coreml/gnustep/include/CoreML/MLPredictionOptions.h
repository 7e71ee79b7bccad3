// https://developer.apple.com/documentation/coreml/mlpredictionoptions

#import <CoreML/MLExport.h>

NS_ASSUME_NONNULL_BEGIN

@interface MLPredictionOptions : CMLObject {
 @private
  NSDictionary<NSString *, id> *_outputBackings;
}
// Feature name -> the client's MLMultiArray that the output may be written to. Core ML may allocate
// one all the same: then the prediction's value is another object. Unknown names are ignored; a
// backing that its feature does not allow fails the prediction; a batch uses none.
@property(readwrite, copy, nonatomic) NSDictionary<NSString *, id> *outputBackings;
@end

NS_ASSUME_NONNULL_END
