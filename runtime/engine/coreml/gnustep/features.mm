// Feature values, providers and batches.

#include "runtime/engine/coreml/gnustep/framework.h"

using coreml_delegate::core_ml_gnustep::make_error;
using coreml_delegate::core_ml_gnustep::set_error;
using coreml_delegate::core_ml_gnustep::text;

@implementation MLFeatureValue
@synthesize type = _type;
@synthesize multiArrayValue = _multiArrayValue;

- (instancetype)initWithType:(MLFeatureType)type array:(MLMultiArray *)array number:(double)number {
  if ((self = [super init])) {
    _type = type;
    _multiArrayValue = [array retain];
    _number = number;
  }
  return self;
}
+ (instancetype)featureValueWithMultiArray:(MLMultiArray *)value {
  return [[[self alloc] initWithType:MLFeatureTypeMultiArray array:value number:0] autorelease];
}
+ (instancetype)featureValueWithInt64:(int64_t)value {
  return [[[self alloc] initWithType:MLFeatureTypeInt64 array:nil
                              number:static_cast<double>(value)] autorelease];
}
+ (instancetype)featureValueWithDouble:(double)value {
  return [[[self alloc] initWithType:MLFeatureTypeDouble array:nil number:value] autorelease];
}
+ (instancetype)undefinedFeatureValueWithType:(MLFeatureType)type {
  return [[[self alloc] initWithType:type array:nil number:0] autorelease];
}
- (BOOL)isUndefined {
  return _type == MLFeatureTypeMultiArray && _multiArrayValue == nil;
}
- (int64_t)int64Value {
  return static_cast<int64_t>(_number);
}
- (double)doubleValue {
  return _number;
}
- (id)copyWithZone:(NSZone *)zone {
  (void)zone;
  return [self retain];
}
- (void)dealloc {
  [_multiArrayValue release];
  [super dealloc];
}
@end

@implementation MLDictionaryFeatureProvider
@synthesize dictionary = _dictionary;

- (instancetype)initWithDictionary:(NSDictionary *)dictionary error:(NSError **)error {
  if (!(self = [super init])) return nil;
  NSMutableDictionary *const values = [NSMutableDictionary dictionary];
  for (NSString *name in dictionary) {
    id value = [dictionary objectForKey:name];
    if ([value isKindOfClass:[MLMultiArray class]]) {
      value = [MLFeatureValue featureValueWithMultiArray:value];
    } else if ([value isKindOfClass:[NSNumber class]]) {
      value = [MLFeatureValue featureValueWithDouble:[value doubleValue]];
    } else if (![value isKindOfClass:[MLFeatureValue class]]) {
      set_error(error, make_error(MLModelErrorFeatureType,
                                  "no feature value can be made for " + text(name)));
      [self release];
      return nil;
    }
    [values setObject:value forKey:name];
  }
  _dictionary = [values copy];
  return self;
}
- (NSSet *)featureNames {
  return [NSSet setWithArray:[_dictionary allKeys]];
}
- (MLFeatureValue *)featureValueForName:(NSString *)name {
  return [_dictionary objectForKey:name];
}
- (void)dealloc {
  [_dictionary release];
  [super dealloc];
}
@end

@implementation MLArrayBatchProvider
@synthesize array = _array;

- (instancetype)initWithFeatureProviderArray:(NSArray *)array {
  if ((self = [super init])) _array = [array copy];
  return self;
}
- (NSInteger)count {
  return static_cast<NSInteger>([_array count]);
}
- (id<MLFeatureProvider>)featuresAtIndex:(NSInteger)index {
  return [_array objectAtIndex:static_cast<NSUInteger>(index)];
}
- (void)dealloc {
  [_array release];
  [super dealloc];
}
@end
