// https://developer.apple.com/documentation/coreml/mlmodelasset

#import <CoreML/MLModelDescription.h>

NS_ASSUME_NONNULL_BEGIN

@interface MLModelAsset : CMLObject {
 @private
  struct CMLCompiledBox *_box;
}
+ (nullable instancetype)modelAssetWithURL:(NSURL *)compiledModelURL
                                     error:(NSError *_Nullable *_Nullable)error;
- (void)modelDescriptionWithCompletionHandler:
    (void (^)(MLModelDescription *_Nullable modelDescription, NSError *_Nullable error))handler;
- (void)modelDescriptionOfFunctionNamed:(NSString *)functionName
                      completionHandler:(void (^)(MLModelDescription *_Nullable modelDescription,
                                                  NSError *_Nullable error))handler;
- (void)functionNamesWithCompletionHandler:(void (^)(NSArray<NSString *> *_Nullable functionNames,
                                                     NSError *_Nullable error))handler;
- (instancetype)init NS_UNAVAILABLE;
+ (instancetype)new NS_UNAVAILABLE;
@end

NS_ASSUME_NONNULL_END
