// MLMultiArray: https://developer.apple.com/documentation/coreml/mlmultiarray
// What the tests below rely on is what Apple's header says of the class; each test names the
// member.

#import <CoreML/CoreML.h>

#include <vector>

#include "gtest/gtest.h"
#include "runtime/engine/coreml/testing_core_ml.h"

namespace {

namespace core_ml = coreml_delegate::core_ml_gnustep;

class MultiArrayTest : public ::testing::Test {
 protected:
  void SetUp() override { before_ = core_ml::live_objects(); }
  void TearDown() override { EXPECT_EQ(core_ml::live_objects(), before_) << "objects leaked"; }

 private:
  int64_t before_ = 0;
};

// initWithShape:dataType:error: "The scalars will use the first-major contiguous layout."
TEST_F(MultiArrayTest, ANewArrayIsContiguous) {
  @autoreleasepool {
    MLMultiArray *array = [[[MLMultiArray alloc] initWithShape:@[ @2, @3, @4 ]
                                                      dataType:MLMultiArrayDataTypeFloat32
                                                         error:nullptr] autorelease];
    EXPECT_TRUE([array.shape isEqual:(@[ @2, @3, @4 ])]);
    EXPECT_TRUE([array.strides isEqual:(@[ @12, @4, @1 ])]);
    EXPECT_EQ(array.count, 24);
    EXPECT_EQ(array.dataType, MLMultiArrayDataTypeFloat32);
  }
}

TEST_F(MultiArrayTest, ImpossibleShapesAndTypesAreErrors) {
  @autoreleasepool {
    NSError *error = nil;
    EXPECT_EQ([[MLMultiArray alloc] initWithShape:@[ @-1 ]
                                         dataType:MLMultiArrayDataTypeFloat32
                                            error:&error],
              nil);
    EXPECT_TRUE([[error domain] isEqualToString:MLModelErrorDomain]);
    error = nil;
    EXPECT_EQ([[MLMultiArray alloc] initWithShape:@[ @1 ]
                                         dataType:static_cast<MLMultiArrayDataType>(77)
                                            error:&error],
              nil);
    EXPECT_NE(error, nil);
  }
}

// strides: "scalarOffset = sum_d index[d]*strides[d]"
TEST_F(MultiArrayTest, StridesSayWhereElementsLie) {
  @autoreleasepool {
    std::vector<float> memory = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    MLMultiArray *array = [[[MLMultiArray alloc] initWithDataPointer:memory.data()
                                                               shape:@[ @2, @3 ]
                                                            dataType:MLMultiArrayDataTypeFloat32
                                                             strides:@[ @8, @2 ]
                                                         deallocator:nullptr
                                                               error:nullptr] autorelease];
    EXPECT_EQ(array.dataPointer, memory.data());
    EXPECT_EQ([[array objectForKeyedSubscript:(@[ @1, @2 ])] floatValue], 12);
    // The linear index counts in row-major order, whatever the strides are.
    EXPECT_EQ([[array objectAtIndexedSubscript:4] floatValue], 10);
    [array setObject:@-1 atIndexedSubscript:5];
    [array setObject:@-2 forKeyedSubscript:(@[ @0, @1 ])];
    EXPECT_EQ(memory[12], -1);
    EXPECT_EQ(memory[2], -2);
  }
}

TEST_F(MultiArrayTest, IndexesOutsideRaise) {
  @autoreleasepool {
    MLMultiArray *array = [[[MLMultiArray alloc] initWithShape:@[ @2 ]
                                                      dataType:MLMultiArrayDataTypeInt32
                                                         error:nullptr] autorelease];
    bool raised = false;
    @try {
      (void)[array objectAtIndexedSubscript:2];
    } @catch (NSException *exception) {
      raised = [[exception name] isEqualToString:NSRangeException];
    }
    EXPECT_TRUE(raised);
  }
}

// initWithDataPointer:...: "Block to be called on the deallocation of the instance."
TEST_F(MultiArrayTest, TheDeallocatorRunsOnce) {
  __block int freed = 0;
  __block void *pointer = nullptr;
  float value = 3;
  MLMultiArray *array = [[MLMultiArray alloc] initWithDataPointer:&value
                                                            shape:@[ @1 ]
                                                         dataType:MLMultiArrayDataTypeFloat32
                                                          strides:@[ @1 ]
                                                      deallocator:^(void *bytes) {
                                                        ++freed;
                                                        pointer = bytes;
                                                      }
                                                            error:nullptr];
  [array retain];
  [array release];
  EXPECT_EQ(freed, 0);
  [array release];
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(pointer, &value);
}

// getMutableBytesWithHandler: "Use strides parameter passed in the block".
TEST_F(MultiArrayTest, HandlersGetTheBytes) {
  @autoreleasepool {
    MLMultiArray *array = [[[MLMultiArray alloc] initWithShape:@[ @2, @3 ]
                                                      dataType:MLMultiArrayDataTypeFloat16
                                                       strides:@[ @4, @1 ]] autorelease];
    [array getMutableBytesWithHandler:^(void *bytes, NSInteger size, NSArray *strides) {
      EXPECT_EQ(size, 14) << "from the first to the last element";
      EXPECT_TRUE([strides isEqual:(@[ @4, @1 ])]);
      static_cast<uint16_t *>(bytes)[5] = 0x3C00;
    }];
    EXPECT_EQ([[array objectForKeyedSubscript:(@[ @1, @1 ])] floatValue], 1);
    [array getBytesWithHandler:^(const void *bytes, NSInteger size) {
      EXPECT_EQ(size, 14);
      EXPECT_EQ(static_cast<const uint16_t *>(bytes)[5], 0x3C00);
    }];
  }
}

// transferToMultiArray: "Numeric data will be up or down casted as needed. It can transfer to a
// multi-array with different layout".
TEST_F(MultiArrayTest, TransfersBetweenLayoutsAndTypes) {
  @autoreleasepool {
    MLMultiArray *source = [[[MLMultiArray alloc] initWithShape:@[ @2, @3 ]
                                                       dataType:MLMultiArrayDataTypeDouble
                                                        strides:@[ @3, @1 ]] autorelease];
    for (NSInteger i = 0; i < 6; ++i) {
      [source setObject:[NSNumber numberWithDouble:static_cast<double>(i) + 0.5]
          atIndexedSubscript:i];
    }
    for (const MLMultiArrayDataType type :
         {MLMultiArrayDataTypeFloat32, MLMultiArrayDataTypeFloat16, MLMultiArrayDataTypeDouble}) {
      MLMultiArray *destination = [[[MLMultiArray alloc] initWithShape:@[ @2, @3 ]
                                                              dataType:type
                                                               strides:@[ @1, @2 ]] autorelease];
      [source transferToMultiArray:destination];
      for (NSInteger i = 0; i < 6; ++i) {
        EXPECT_EQ([[destination objectAtIndexedSubscript:i] doubleValue],
                  static_cast<double>(i) + 0.5);
      }
    }
    MLMultiArray *whole = [[[MLMultiArray alloc] initWithShape:@[ @2, @3 ]
                                                      dataType:MLMultiArrayDataTypeInt32
                                                         error:nullptr] autorelease];
    [source transferToMultiArray:whole];
    EXPECT_EQ([[whole objectAtIndexedSubscript:5] intValue], 5);
  }
}

}  // namespace
