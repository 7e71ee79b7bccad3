// The part of Apple's Foundation that the engine's sources name, for compiling them where there is no SDK: declarations and nothing that could be
// linked or run. api_truth_test holds each name to Apple's published metadata. All of them are older than the oldest systems that are
// supported, so none is marked with a version.
//
// NSObject and NSInteger are Apple's own headers, which come with the compiler.

#ifndef COREML_DELEGATE_API_FOUNDATION_H_
#define COREML_DELEGATE_API_FOUNDATION_H_

#include <errno.h>
#include <objc/NSObjCRuntime.h>
#include <objc/NSObject.h>
#include <os/availability.h>
#include <stdint.h>

@class NSArray<T>;
@class NSDictionary<K, V>;
@class NSString;
@class NSURL;

typedef struct _NSRange {
  NSUInteger location;
  NSUInteger length;
} NSRange;

typedef struct {
  unsigned long state;
  id *itemsPtr;
  unsigned long *mutationsPtr;
  unsigned long extra[5];
} NSFastEnumerationState;

@protocol NSFastEnumeration
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState *)state
                                  objects:(id *)buffer
                                    count:(NSUInteger)len;
@end

typedef NSUInteger NSStringEncoding;
static const NSStringEncoding NSUTF8StringEncoding = 4;

@interface NSString : NSObject
@property(readonly) const char *UTF8String;
- (instancetype)initWithBytes:(const void *)bytes
                       length:(NSUInteger)len
                     encoding:(NSStringEncoding)encoding;
- (BOOL)isEqualToString:(NSString *)aString;
@end

@interface NSValue : NSObject
@property(readonly) NSRange rangeValue;
@end

@interface NSNumber : NSValue
@property(readonly) long long longLongValue;
@property(readonly) BOOL boolValue;
+ (NSNumber *)numberWithLongLong:(long long)value;
@end

@interface NSArray<T> : NSObject <NSFastEnumeration>
@property(readonly) NSUInteger count;
- (T)objectAtIndex:(NSUInteger)index;
@end

@interface NSMutableArray<T> : NSArray <T>
+ (instancetype)arrayWithCapacity:(NSUInteger)numItems;
- (void)addObject:(T)anObject;
@end

@interface NSSet<T> : NSObject <NSFastEnumeration>
@end

@interface NSDictionary<K, V> : NSObject <NSFastEnumeration>
+ (NSDictionary<NSString *, id> *)dictionaryWithContentsOfFile:(NSString *)path;
- (V)objectForKey:(K)aKey;
@end

@interface NSMutableDictionary<K, V> : NSDictionary <K, V>
+ (instancetype)dictionary;
+ (instancetype)dictionaryWithCapacity:(NSUInteger)numItems;
- (void)setObject:(V)anObject forKey:(K)aKey;
@end

extern NSString *const NSPOSIXErrorDomain;
extern NSString *const NSUnderlyingErrorKey;

@interface NSError : NSObject
@property(readonly, copy) NSString *domain;
@property(readonly) NSInteger code;
@property(readonly, copy) NSDictionary<NSString *, id> *userInfo;
@property(readonly, copy) NSString *localizedDescription;
@end

@interface NSException : NSObject
@property(readonly, copy) NSString *name;
@property(readonly, copy) NSString *reason;
@end

@interface NSURL : NSObject
@property(readonly, copy) NSString *path;
+ (NSURL *)fileURLWithPath:(NSString *)path isDirectory:(BOOL)isDir;
@end

@interface NSBundle : NSObject
@property(class, readonly) NSBundle *mainBundle;
- (NSString *)pathForResource:(NSString *)name ofType:(NSString *)ext;
@end

@interface NSFileManager : NSObject
@property(class, readonly) NSFileManager *defaultManager;
- (BOOL)moveItemAtPath:(NSString *)srcPath toPath:(NSString *)dstPath error:(NSError **)error;
- (BOOL)removeItemAtPath:(NSString *)path error:(NSError **)error;
@end

@interface NSProcessInfo : NSObject
@property(class, readonly) NSProcessInfo *processInfo;
@property(readonly, copy) NSString *operatingSystemVersionString;
@end

#endif  // COREML_DELEGATE_API_FOUNDATION_H_
