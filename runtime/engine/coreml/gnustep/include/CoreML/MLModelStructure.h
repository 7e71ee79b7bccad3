// https://developer.apple.com/documentation/coreml/mlmodelstructure-74e1v

#import <CoreML/MLModelAsset.h>

NS_ASSUME_NONNULL_BEGIN

@class MLModelStructureProgramBlock;

@interface MLModelStructureProgramNamedValueType : CMLObject {
 @private
  NSString *_name;
}
@property(readonly, copy, nonatomic) NSString *name;
@end

@interface MLModelStructureProgramOperation : CMLObject {
 @private
  NSString *_operatorName;
  NSArray<MLModelStructureProgramNamedValueType *> *_outputs;
  NSArray<MLModelStructureProgramBlock *> *_blocks;
}
@property(readonly, copy, nonatomic) NSString *operatorName;
@property(readonly, copy, nonatomic) NSArray<MLModelStructureProgramNamedValueType *> *outputs;
@property(readonly, copy, nonatomic) NSArray<MLModelStructureProgramBlock *> *blocks;
@end

@interface MLModelStructureProgramBlock : CMLObject {
 @private
  NSArray<MLModelStructureProgramNamedValueType *> *_inputs;
  NSArray<MLModelStructureProgramOperation *> *_operations;
  NSArray<NSString *> *_outputNames;
}
@property(readonly, copy, nonatomic) NSArray<MLModelStructureProgramNamedValueType *> *inputs;
@property(readonly, copy, nonatomic) NSArray<MLModelStructureProgramOperation *> *operations;
@property(readonly, copy, nonatomic) NSArray<NSString *> *outputNames;
@end

@interface MLModelStructureProgramFunction : CMLObject {
 @private
  NSArray<MLModelStructureProgramNamedValueType *> *_inputs;
  MLModelStructureProgramBlock *_block;
}
@property(readonly, copy, nonatomic) NSArray<MLModelStructureProgramNamedValueType *> *inputs;
@property(readonly, nonatomic) MLModelStructureProgramBlock *block;
@end

@interface MLModelStructureProgram : CMLObject {
 @private
  NSDictionary<NSString *, MLModelStructureProgramFunction *> *_functions;
}
@property(readonly, copy, nonatomic)
    NSDictionary<NSString *, MLModelStructureProgramFunction *> *functions;
@end

@interface MLModelStructure : CMLObject {
 @private
  MLModelStructureProgram *_program;
}
@property(readonly, nullable, nonatomic) MLModelStructureProgram *program;
+ (void)loadContentsOfURL:(NSURL *)url
        completionHandler:
            (void (^)(MLModelStructure *_Nullable modelStructure, NSError *_Nullable error))handler;
- (instancetype)init NS_UNAVAILABLE;
+ (instancetype)new NS_UNAVAILABLE;
@end

NS_ASSUME_NONNULL_END
