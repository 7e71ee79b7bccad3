// Objective-C++ as this repository writes it: what must hold with Apple's runtime and with
// GNUstep's.

#import <Foundation/Foundation.h>

#include <string>
#include <thread>

#include "gtest/gtest.h"

static int live_objects = 0;

@interface CMDSmokeObject : NSObject {
  std::string text_;
  int (^block_)(int);
}
- (instancetype)initWithText:(const std::string &)text block:(int (^)(int))block;
@property(nonatomic, readonly, copy) NSString *text;
- (int)call:(int)value;
@end

@implementation CMDSmokeObject
- (instancetype)initWithText:(const std::string &)text block:(int (^)(int))block {
  if ((self = [super init])) {
    text_ = text;
    block_ = Block_copy(block);
    ++live_objects;
  }
  return self;
}
- (void)dealloc {
  Block_release(block_);
  --live_objects;
  [super dealloc];
}
- (NSString *)text {
  return [NSString stringWithUTF8String:text_.c_str()];
}
- (int)call:(int)value {
  return block_(value);
}
@end

namespace {

struct Scope {
  int *count;
  ~Scope() { ++*count; }
};

TEST(Smoke, ObjectsHoldCppMembersAndBlocks) {
  @autoreleasepool {
    const int factor = 3;
    CMDSmokeObject *object = [[CMDSmokeObject alloc] initWithText:std::string(100, 'x')
                                                            block:^(int value) {
                                                              return value * factor;
                                                            }];
    EXPECT_EQ(live_objects, 1);
    EXPECT_EQ(object.text.length, 100u);
    EXPECT_EQ([object call:14], 42);
    [object release];
  }
  EXPECT_EQ(live_objects, 0);
}

// A name of its own per call, and memory of the frame that is written over afterwards.
__attribute__((noinline)) int (^make_block(int value))(int) {
  const std::string text(static_cast<size_t>(value), 'x');
  return Block_copy(^(int more) {
    return static_cast<int>(text.size()) + more;
  });
}
__attribute__((noinline)) int overwrite_stack() {
  volatile char bytes[4096];
  for (volatile char &byte : bytes) byte = 0x5A;
  return bytes[17];
}

TEST(Smoke, ACopiedBlockOutlivesItsFrame) {
  int (^const first)(int) = make_block(30);
  int (^const second)(int) = make_block(40);
  EXPECT_EQ(overwrite_stack(), 0x5A);
  EXPECT_EQ(first(1), 31);
  EXPECT_EQ(second(2), 42);
  Block_release(first);
  Block_release(second);
}

TEST(Smoke, LiteralsAndFastEnumeration) {
  @autoreleasepool {
    NSDictionary<NSString *, NSNumber *> *numbers = @{@"one" : @1, @"half" : @0.5};
    double sum = 0;
    for (NSString *key in numbers) sum += [[numbers objectForKey:key] doubleValue];
    EXPECT_EQ(sum, 1.5);
  }
}

TEST(Smoke, AnExceptionRunsDestructorsOnItsWay) {
  int destroyed = 0;
  bool caught = false;
  @autoreleasepool {
    @try {
      const Scope scope{&destroyed};
      [NSException raise:NSInvalidArgumentException format:@"number %d", 7];
    } @catch (NSException *exception) {
      caught = [exception.reason isEqualToString:@"number 7"];
    }
  }
  EXPECT_TRUE(caught);
  EXPECT_EQ(destroyed, 1);
}

TEST(Smoke, APoolReleasesWhatWasAutoreleasedInIt) {
  @autoreleasepool {
    [[[CMDSmokeObject alloc] initWithText:"a"
                                    block:^(int value) {
                                      return value;
                                    }] autorelease];
    EXPECT_EQ(live_objects, 1);
  }
  EXPECT_EQ(live_objects, 0);
}

TEST(Smoke, AThreadOfCppMayUseFoundation) {
  int value = 0;
  std::thread thread([&value] {
    @autoreleasepool {
      value = [[NSString stringWithFormat:@"%d", 5] intValue];
    }
  });
  thread.join();
  EXPECT_EQ(value, 5);
}

}  // namespace
