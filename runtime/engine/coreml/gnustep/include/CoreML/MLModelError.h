// https://developer.apple.com/documentation/coreml/mlmodelerror-swift.struct/code

#import <CoreML/MLExport.h>

NS_ASSUME_NONNULL_BEGIN

extern NSString *const MLModelErrorDomain;

typedef NS_ENUM(NSInteger, MLModelError) {
  MLModelErrorGeneric = 0,
  MLModelErrorFeatureType = 1,
  MLModelErrorIO = 3,
  MLModelErrorCustomLayer = 4,
  MLModelErrorCustomModel = 5,
  MLModelErrorUpdate = 6,
  MLModelErrorParameters = 7,
  MLModelErrorModelDecryptionKeyFetch = 8,
  MLModelErrorModelDecryption = 9,
  MLModelErrorModelCollection = 10,
  MLModelErrorPredictionCancelled = 11,
};

NS_ASSUME_NONNULL_END
