// https://developer.apple.com/documentation/coreml/mlmultiarray

#import <CoreML/MLExport.h>

NS_ASSUME_NONNULL_BEGIN

// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype
typedef NS_ENUM(NSInteger, MLMultiArrayDataType) {
  MLMultiArrayDataTypeDouble = 0x10000 | 64,
  MLMultiArrayDataTypeFloat64 = 0x10000 | 64,
  MLMultiArrayDataTypeFloat32 = 0x10000 | 32,
  MLMultiArrayDataTypeFloat16 = 0x10000 | 16,
  MLMultiArrayDataTypeFloat = 0x10000 | 32,
  MLMultiArrayDataTypeInt32 = 0x20000 | 32,
};

// An element lies at the sum of index times stride over the dimensions; strides count elements.
@interface MLMultiArray : CMLObject {
 @private
  void *_dataPointer;
  MLMultiArrayDataType _dataType;
  NSArray<NSNumber *> *_shape;
  NSArray<NSNumber *> *_strides;
  NSInteger _count;
  void (^_deallocator)(void *);
}
@property(readonly, nonatomic) void *dataPointer;
@property(readonly, nonatomic) MLMultiArrayDataType dataType;
@property(readonly, nonatomic) NSArray<NSNumber *> *shape;
@property(readonly, nonatomic) NSArray<NSNumber *> *strides;
// Of addressable elements: the product of the shape.
@property(readonly, nonatomic) NSInteger count;
@end

@interface MLMultiArray (Creation)
// Contiguous, last dimension fastest; the content is not initialised.
- (nullable instancetype)initWithShape:(NSArray<NSNumber *> *)shape
                              dataType:(MLMultiArrayDataType)dataType
                                 error:(NSError *_Nullable *_Nullable)error;
- (instancetype)initWithShape:(NSArray<NSNumber *> *)shape
                     dataType:(MLMultiArrayDataType)dataType
                      strides:(NSArray<NSNumber *> *)strides;
// Over the caller's memory, without copying. The deallocator runs when the object goes.
- (nullable instancetype)initWithDataPointer:(void *)dataPointer
                                       shape:(NSArray<NSNumber *> *)shape
                                    dataType:(MLMultiArrayDataType)dataType
                                     strides:(NSArray<NSNumber *> *)strides
                                 deallocator:(void (^_Nullable)(void *bytes))deallocator
                                       error:(NSError *_Nullable *_Nullable)error;
@end

// The pointers are valid within the block only.
@interface MLMultiArray (ScopedBufferAccess)
- (void)getBytesWithHandler:(void(NS_NOESCAPE ^)(const void *bytes, NSInteger size))handler;
// The strides passed are the ones to use: they may differ from those before the call.
- (void)getMutableBytesWithHandler:(void(NS_NOESCAPE ^)(void *mutableBytes, NSInteger size,
                                                        NSArray<NSNumber *> *strides))handler;
@end

// By linear index in row-major order whatever the strides are, or by an index per dimension.
@interface MLMultiArray (NSNumberDataAccess)
- (NSNumber *)objectAtIndexedSubscript:(NSInteger)idx;
- (NSNumber *)objectForKeyedSubscript:(NSArray<NSNumber *> *)key;
- (void)setObject:(NSNumber *)obj atIndexedSubscript:(NSInteger)idx;
- (void)setObject:(NSNumber *)obj forKeyedSubscript:(NSArray<NSNumber *> *)key;
@end

@interface MLMultiArray (Transferring)
// Element by element into another layout and, where the types differ, another type.
- (void)transferToMultiArray:(MLMultiArray *)destinationMultiArray;
@end

NS_ASSUME_NONNULL_END
