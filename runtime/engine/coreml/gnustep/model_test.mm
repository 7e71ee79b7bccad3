// MLModel and what it takes and gives, on the models of the conformance suite. Each group names
// Apple's page for what it relies on.

#import <CoreML/CoreML.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "gtest/gtest.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/coreml/testing_core_ml.h"
#include "runtime/engine/cts/engine_cts.h"

namespace coreml_delegate {
namespace {

namespace core_ml = core_ml_gnustep;

MLMultiArray *array_of(NSArray *shape, float value) {
  MLMultiArray *const array = [[[MLMultiArray alloc] initWithShape:shape
                                                          dataType:MLMultiArrayDataTypeFloat32
                                                             error:nullptr] autorelease];
  for (NSInteger i = 0; i < array.count; ++i) {
    [array setObject:[NSNumber numberWithFloat:value + static_cast<float>(i)] atIndexedSubscript:i];
  }
  return array;
}

float element(MLMultiArray *array, NSInteger index) {
  return [[array objectAtIndexedSubscript:index] floatValue];
}

id<MLFeatureProvider> features(NSDictionary *values) {
  return [[[MLDictionaryFeatureProvider alloc] initWithDictionary:values
                                                            error:nullptr] autorelease];
}

class ModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pool_ = [[NSAutoreleasePool alloc] init];
    before_ = core_ml::live_objects();
  }
  void TearDown() override {
    core_ml::reset_faults();
    core_ml::ignore_backings(false);
    [pool_ release];
    // What a handler was given goes with the pool of its thread, shortly after the handler returned.
    for (int i = 0; i < 500 && core_ml::live_objects() != before_; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(core_ml::live_objects(), before_) << "objects leaked";
  }

  // testdata/NAME.mlpackage as a folder.
  NSURL *package(const std::string &name) {
    const std::string path = folder_.path() + "/" + name + ".mlpackage";
    const Status written =
        inmemoryfs::write_folder(real_file_system(), engine::read_test_model(name), path);
    EXPECT_TRUE(written.ok()) << written.to_string();
    return [NSURL fileURLWithPath:[NSString stringWithUTF8String:path.c_str()] isDirectory:YES];
  }
  // Compiled, in a place that goes away with the test.
  NSURL *compiled(const std::string &name) {
    NSError *error = nil;
    NSURL *const url = [MLModel compileModelAtURL:package(name) error:&error];
    EXPECT_NE(url, nil) << [[error localizedDescription] UTF8String];
    const std::string path = folder_.path() + "/" + name + ".mlmodelc";
    EXPECT_TRUE(real_file_system().rename([[url path] UTF8String], path).ok());
    return [NSURL fileURLWithPath:[NSString stringWithUTF8String:path.c_str()] isDirectory:YES];
  }
  MLModel *load(const std::string &name) {
    NSError *error = nil;
    MLModel *const model = [MLModel modelWithContentsOfURL:compiled(name) error:&error];
    EXPECT_NE(model, nil) << [[error localizedDescription] UTF8String];
    return model;
  }

  NSAutoreleasePool *pool_ = nil;
  engine::TemporaryFolder folder_;
  int64_t before_ = 0;
};

// https://developer.apple.com/documentation/coreml/mlmodel/prediction(from:)
TEST_F(ModelTest, Predicts) {
  NSError *error = nil;
  id<MLFeatureProvider> output = [load("add") predictionFromFeatures:features(@{
                                                @"x" : array_of(@[ @2, @3 ], 1),
                                                @"y" : array_of(@[ @2, @3 ], 10)
                                              })
                                                               error:&error];
  ASSERT_NE(output, nil) << [[error localizedDescription] UTF8String];
  EXPECT_TRUE([[output featureNames] isEqual:[NSSet setWithObject:@"sum"]]);
  MLMultiArray *sum = [output featureValueForName:@"sum"].multiArrayValue;
  for (NSInteger i = 0; i < 6; ++i) EXPECT_EQ(element(sum, i), 11 + 2 * static_cast<float>(i));
}

TEST_F(ModelTest, InputsOfAnyLayoutAreReadByTheirStrides) {
  MLMultiArray *columns = [[[MLMultiArray alloc] initWithShape:@[ @2, @3 ]
                                                      dataType:MLMultiArrayDataTypeFloat32
                                                       strides:@[ @1, @2 ]] autorelease];
  [array_of(@[ @2, @3 ], 1) transferToMultiArray:columns];
  id<MLFeatureProvider> output =
      [load("add") predictionFromFeatures:features(
                                              @{@"x" : columns,
                                                @"y" : array_of(@[ @2, @3 ], 10)})
                                    error:nullptr];
  for (NSInteger i = 0; i < 6; ++i) {
    EXPECT_EQ(element([output featureValueForName:@"sum"].multiArrayValue, i),
              11 + 2 * static_cast<float>(i));
  }
}

TEST_F(ModelTest, ValuesThatAreNotAllowedAreErrors) {
  MLModel *model = load("add");
  NSArray *wrong = @[
    @{@"x" : array_of(@[ @2, @3 ], 1)},
    @{@"x" : array_of(@[ @2, @3 ], 1),
      @"y" : array_of(@[ @3, @2 ], 1)},
    @{@"x" : array_of(@[ @2, @3 ], 1),
      @"y" : @3.0}
  ];
  for (NSDictionary *values in wrong) {
    NSError *error = nil;
    EXPECT_EQ([model predictionFromFeatures:features(values) error:&error], nil);
    EXPECT_TRUE([[error domain] isEqualToString:MLModelErrorDomain]);
    EXPECT_EQ([error code], MLModelErrorFeatureType);
    EXPECT_NE([[error localizedDescription] rangeOfString:@"y"].location, NSUInteger{NSNotFound});
  }
}

// https://developer.apple.com/documentation/coreml/mlpredictionoptions/outputbackings
// "To check if the backing object was used, compare the output prediction and the backing object by
// object identity."
TEST_F(ModelTest, WritesToBackings) {
  MLModel *model = load("add");
  id<MLFeatureProvider> input = features(
      @{@"x" : array_of(@[ @2, @3 ], 1),
        @"y" : array_of(@[ @2, @3 ], 10)});
  for (NSArray *strides in @[ @[ @3, @1 ], @[ @1, @2 ], @[ @8, @2 ] ]) {
    MLMultiArray *backing = [[[MLMultiArray alloc] initWithShape:@[ @2, @3 ]
                                                        dataType:MLMultiArrayDataTypeFloat32
                                                         strides:strides] autorelease];
    MLPredictionOptions *options = [[[MLPredictionOptions alloc] init] autorelease];
    // "The framework ignores a backing object with an unknown feature name."
    options.outputBackings = @{@"sum" : backing, @"unknown" : backing};
    id<MLFeatureProvider> output = [model predictionFromFeatures:input
                                                         options:options
                                                           error:nullptr];
    EXPECT_EQ([output featureValueForName:@"sum"].multiArrayValue, backing);
    for (NSInteger i = 0; i < 6; ++i)
      EXPECT_EQ(element(backing, i), 11 + 2 * static_cast<float>(i));
  }
}

// "The output backing object must satisfy the output feature description's -isAllowedValue: test,
// or the framework reports an error".
TEST_F(ModelTest, ABackingThatIsNotAllowedIsAnError) {
  MLModel *model = load("add");
  MLPredictionOptions *options = [[[MLPredictionOptions alloc] init] autorelease];
  options.outputBackings = @{@"sum" : array_of(@[ @3, @2 ], 0)};
  NSError *error = nil;
  EXPECT_EQ([model predictionFromFeatures:features(@{
                     @"x" : array_of(@[ @2, @3 ], 1),
                     @"y" : array_of(@[ @2, @3 ], 10)
                   })
                                  options:options
                                    error:&error],
            nil);
  EXPECT_EQ([error code], MLModelErrorFeatureType);
}

TEST_F(ModelTest, ABatchUsesNoBackings) {
  MLModel *model = load("add");
  NSArray *inputs = @[
    features(
        @{@"x" : array_of(@[ @2, @3 ], 1),
          @"y" : array_of(@[ @2, @3 ], 10)}),
    features(
        @{@"x" : array_of(@[ @2, @3 ], 2),
          @"y" : array_of(@[ @2, @3 ], 20)})
  ];
  MLMultiArray *backing = array_of(@[ @2, @3 ], 0);
  MLPredictionOptions *options = [[[MLPredictionOptions alloc] init] autorelease];
  options.outputBackings = @{@"sum" : backing};
  id<MLBatchProvider> outputs = [model
      predictionsFromBatch:[[[MLArrayBatchProvider alloc] initWithFeatureProviderArray:inputs]
                               autorelease]
                   options:options
                     error:nullptr];
  ASSERT_EQ([outputs count], 2);
  EXPECT_EQ(element([[outputs featuresAtIndex:0] featureValueForName:@"sum"].multiArrayValue, 0),
            11);
  EXPECT_EQ(element([[outputs featuresAtIndex:1] featureValueForName:@"sum"].multiArrayValue, 0),
            22);
  EXPECT_EQ(element(backing, 0), 0);
}

// https://developer.apple.com/documentation/coreml/mlmodeldescription
TEST_F(ModelTest, DescribesFixedRangedAndEnumeratedShapes) {
  MLFeatureDescription *fixed =
      [[load("add").modelDescription inputDescriptionsByName] objectForKey:@"x"];
  EXPECT_EQ(fixed.type, MLFeatureTypeMultiArray);
  EXPECT_FALSE(fixed.isOptional);
  EXPECT_TRUE([fixed.multiArrayConstraint.shape isEqual:(@[ @2, @3 ])]);
  EXPECT_EQ(fixed.multiArrayConstraint.dataType, MLMultiArrayDataTypeFloat32);
  MLMultiArrayShapeConstraint *range = [[[load("range").modelDescription inputDescriptionsByName]
                                            objectForKey:@"x"] multiArrayConstraint]
                                           .shapeConstraint;
  ASSERT_EQ(range.type, MLMultiArrayShapeConstraintTypeRange);
  const NSRange rows = [[range.sizeRangeForDimension objectAtIndex:0] rangeValue];
  EXPECT_EQ(rows.location, 1u);
  EXPECT_EQ(rows.length, 8u);
  MLFeatureDescription *enumerated =
      [[load("enumerated").modelDescription inputDescriptionsByName] objectForKey:@"x"];
  EXPECT_EQ([enumerated.multiArrayConstraint.shapeConstraint.enumeratedShapes count], 2u);
  const auto allows = [&](NSArray *shape) {
    return
        [enumerated isAllowedValue:[MLFeatureValue featureValueWithMultiArray:array_of(shape, 0)]];
  };
  EXPECT_TRUE(allows(@[ @4, @3 ]));
  EXPECT_FALSE(allows(@[ @3, @3 ]));
}

// https://developer.apple.com/documentation/coreml/mlstate
class StateTest : public ModelTest {
 protected:
  id<MLFeatureProvider> ones() {
    MLMultiArray *x = [[[MLMultiArray alloc] initWithShape:@[ @4 ]
                                                  dataType:MLMultiArrayDataTypeFloat16
                                                     error:nullptr] autorelease];
    for (NSInteger i = 0; i < 4; ++i) [x setObject:@1 atIndexedSubscript:i];
    return features(@{@"x" : x});
  }
  float first(MLState *state) {
    __block float value = -1;
    [state getMultiArrayForStateNamed:@"acc"
                              handler:^(MLMultiArray *buffer) {
                                value = element(buffer, 0);
                              }];
    return value;
  }
};

// newState: "The allocated state buffers are initialized to zeros."
TEST_F(StateTest, StartsAtZeroAndIsKept) {
  MLModel *model = load("state");
  MLState *state = [[model newState] autorelease];
  EXPECT_EQ(first(state), 0);
  for (int i = 1; i <= 3; ++i) {
    id<MLFeatureProvider> output = [model predictionFromFeatures:ones()
                                                      usingState:state
                                                           error:nullptr];
    EXPECT_EQ(element([output featureValueForName:@"total"].multiArrayValue, 3), i);
    EXPECT_EQ(first(state), i);
  }
  MLFeatureDescription *description =
      [[model.modelDescription stateDescriptionsByName] objectForKey:@"acc"];
  EXPECT_EQ(description.type, MLFeatureTypeState);
  EXPECT_TRUE([description.stateConstraint.bufferShape isEqual:(@[ @4 ])]);
}

// getMultiArrayForStateNamed:handler: "Gets a mutable view into a state buffer."
TEST_F(StateTest, TheViewIsMutable) {
  MLModel *model = load("state");
  MLState *state = [[model newState] autorelease];
  [state getMultiArrayForStateNamed:@"acc"
                            handler:^(MLMultiArray *buffer) {
                              [buffer setObject:@40 atIndexedSubscript:0];
                            }];
  id<MLFeatureProvider> output = [model predictionFromFeatures:ones()
                                                    usingState:state
                                                         error:nullptr];
  EXPECT_EQ(element([output featureValueForName:@"total"].multiArrayValue, 0), 41);
  bool raised = false;
  @try {
    [state getMultiArrayForStateNamed:@"ghost"
                              handler:^(MLMultiArray *) {
                                ADD_FAILURE() << "there is no such state";
                              }];
  } @catch (NSException *) {
    raised = true;
  }
  EXPECT_TRUE(raised);
}

// newState: "It returns an empty state when the model is stateless."
TEST_F(StateTest, AStatelessModelTakesAnEmptyState) {
  MLModel *model = load("add");
  MLState *state = [[model newState] autorelease];
  ASSERT_NE(state, nil);
  EXPECT_NE([model predictionFromFeatures:features(@{
                     @"x" : array_of(@[ @2, @3 ], 1),
                     @"y" : array_of(@[ @2, @3 ], 10)
                   })
                               usingState:state
                                    error:nullptr],
            nil);
}

// This framework's own rule, where Apple's pages are silent: a state is its model's.
TEST_F(StateTest, AStateOfAnotherModelIsAnError) {
  MLState *state = [[load("state") newState] autorelease];
  NSError *error = nil;
  MLModel *other = [MLModel
      modelWithContentsOfURL:[NSURL
                                 fileURLWithPath:[NSString stringWithUTF8String:(folder_.path() +
                                                                                 "/state.mlmodelc")
                                                                                    .c_str()]]
                       error:&error];
  EXPECT_EQ([other predictionFromFeatures:ones() usingState:state error:&error], nil);
  EXPECT_NE(error, nil);
}

// https://developer.apple.com/documentation/coreml/mlmodelasset
// https://developer.apple.com/documentation/coreml/mlmodelconfiguration/functionname: "Use nil to
// use a default function."
TEST_F(ModelTest, FunctionsOfAnAsset) {
  NSURL *url = compiled("functions");
  MLModelAsset *asset = [MLModelAsset modelAssetWithURL:url error:nullptr];
  __block NSArray *names = nil;
  [asset functionNamesWithCompletionHandler:^(NSArray *found, NSError *) {
    names = [found retain];
  }];
  EXPECT_TRUE(
      [[NSSet setWithArray:names] isEqual:([NSSet setWithObjects:@"push", @"push_twice", nil])]);
  [names release];
  __block bool described = false;
  [asset modelDescriptionOfFunctionNamed:@"push"
                       completionHandler:^(MLModelDescription *description, NSError *) {
                         described =
                             [[description inputDescriptionsByName] objectForKey:@"x"] != nil;
                       }];
  EXPECT_TRUE(described);
  MLModelConfiguration *configuration = [[[MLModelConfiguration alloc] init] autorelease];
  configuration.functionName = @"nothing of this name";
  NSError *error = nil;
  EXPECT_EQ([MLModel modelWithContentsOfURL:url configuration:configuration error:&error], nil);
  EXPECT_NE(error, nil);
  configuration.functionName = @"push";
  EXPECT_NE([MLModel modelWithContentsOfURL:url configuration:configuration error:&error], nil);
}

// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n
TEST_F(ModelTest, APlanHasEstimatesThatAddUpToOne) {
  __block double sum = 0;
  __block int without = 0;
  std::promise<void> answered;
  std::promise<void> *const answer = &answered;
  [MLComputePlan
      loadContentsOfURL:compiled("scalar")
          configuration:[[[MLModelConfiguration alloc] init] autorelease]
      completionHandler:^(MLComputePlan *plan, NSError *error) {
        EXPECT_NE(plan, nil) << [[error localizedDescription] UTF8String];
        MLModelStructureProgramFunction *main =
            [plan.modelStructure.program.functions objectForKey:@"main"];
        for (MLModelStructureProgramOperation *operation in main.block.operations) {
          MLComputePlanCost *cost = [plan estimatedCostOfMLProgramOperation:operation];
          sum += cost != nil ? cost.weight : 0;
          without += cost == nil ? 1 : 0;
          if (cost == nil) continue;
          EXPECT_TRUE(
              [[plan computeDeviceUsageForMLProgramOperation:operation].preferredComputeDevice
                  isKindOfClass:[MLCPUComputeDevice class]]);
        }
        answer->set_value();
      }];
  answered.get_future().wait();  // The handler is called on another thread.
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_GT(without, 0) << "constants";
}

// https://developer.apple.com/documentation/coreml/mlmodel/compilemodel(at:)-6442s
TEST_F(ModelTest, CompilesInTheBackground) {
  struct Waiter {
    std::mutex mutex;
    std::condition_variable done;
    std::string path;
    std::string error;
    bool called = false;
  } waiter;
  Waiter *const w = &waiter;
  for (const char *const name : {"add", "unsupported"}) {
    [MLModel compileModelAtURL:package(name)
             completionHandler:^(NSURL *url, NSError *error) {
               const std::lock_guard<std::mutex> lock(w->mutex);
               w->path = url != nil ? [[url path] UTF8String] : "";
               w->error = error != nil ? [[error localizedDescription] UTF8String] : "";
               w->called = true;
               w->done.notify_all();
             }];
    std::unique_lock<std::mutex> lock(waiter.mutex);
    waiter.done.wait(lock, [&] { return waiter.called; });
    waiter.called = false;
    if (std::string(name) == "add") {
      EXPECT_TRUE(waiter.error.empty()) << waiter.error;
      EXPECT_TRUE(real_file_system().remove_tree(waiter.path).ok());
    } else {
      EXPECT_NE(waiter.error.find("no_such_operation"), std::string::npos) << waiter.error;
      EXPECT_TRUE(waiter.path.empty());
    }
  }
  // The thread of the last handler still lets go of its objects.
  for (int i = 0; i < 1000 && core_ml::live_objects() != before_; ++i) {
    [NSThread sleepForTimeInterval:0.001];
  }
}

// --- Faults, which tests of the engine inject ---

TEST_F(ModelTest, FailsWhereItIsToldTo) {
  NSURL *url = compiled("add");
  NSError *error = nil;
  core_ml::fail_next(core_ml::Stage::kLoad, core_ml::Fault::kError);
  EXPECT_EQ([MLModel modelWithContentsOfURL:url error:&error], nil);
  EXPECT_NE(error, nil);
  core_ml::fail_next(core_ml::Stage::kLoad, core_ml::Fault::kException);
  bool raised = false;
  @try {
    (void)[MLModel modelWithContentsOfURL:url error:&error];
  } @catch (NSException *) {
    raised = true;
  }
  EXPECT_TRUE(raised);
  EXPECT_NE([MLModel modelWithContentsOfURL:url error:&error], nil);
}

}  // namespace
}  // namespace coreml_delegate
