// Loading and predicting.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "runtime/engine/coreml/gnustep/framework.h"
#include "runtime/engine/coreml/gnustep/prediction.h"

using namespace coreml_delegate::core_ml_gnustep;  // NOLINT: the framework's own.

namespace {
std::atomic<uint64_t> last_identity{0};
}  // namespace

@implementation MLModel
@synthesize modelDescription = _modelDescription;

+ (NSArray *)availableComputeDevices {
  return MLAllComputeDevices();
}

+ (instancetype)modelWithCompiled:(std::shared_ptr<const CompiledModel>)compiled
                    configuration:(MLModelConfiguration *)configuration
                            error:(NSError **)error {
  const Injected injected = enter(Stage::kLoad);
  if (injected.fails) {
    set_error(error, injected.error);
    return nil;
  }
  const std::string function = text(configuration.functionName);
  // A model of one function from before multi-function models knows no function names.
  if (configuration.functionName != nil && compiled->package().specification_version() < 9) {
    set_error(error,
              make_error(MLModelErrorParameters,
                         "functionName must be nil: the model's specification has no functions"));
    return nil;
  }
  auto signature = compiled->package().function_signature(function);
  if (!signature.ok()) {
    set_error(error, make_error(signature.status()));
    return nil;
  }
  auto loaded = compiled->load(function);
  if (!loaded.ok()) {
    set_error(error, make_error(loaded.status()));
    return nil;
  }
  MLModel *const model = [[[self alloc] init] autorelease];
  model->_modelDescription = [[MLModelDescription descriptionWithFunction:*signature] retain];
  model->_configuration = [configuration copy];
  model->_box = new CMLModelBox{std::move(compiled), *std::move(loaded), *std::move(signature),
                                ++last_identity};
  return model;
}

+ (instancetype)modelWithContentsOfURL:(NSURL *)url error:(NSError **)error {
  return [self modelWithContentsOfURL:url
                        configuration:[[[MLModelConfiguration alloc] init] autorelease]
                                error:error];
}
+ (instancetype)modelWithContentsOfURL:(NSURL *)url
                         configuration:(MLModelConfiguration *)configuration
                                 error:(NSError **)error {
  const auto compiled = CompiledModel::open(text([url path]));
  if (!compiled.ok()) {
    set_error(error, make_error(compiled.status()));
    return nil;
  }
  return [self modelWithCompiled:*compiled configuration:configuration error:error];
}
+ (void)loadContentsOfURL:(NSURL *)url
            configuration:(MLModelConfiguration *)configuration
        completionHandler:(void (^)(MLModel *, NSError *))handler {
  NSError *error = nil;
  MLModel *const model = [self modelWithContentsOfURL:url configuration:configuration error:&error];
  handler(model, error);
}
+ (void)loadModelAsset:(MLModelAsset *)asset
         configuration:(MLModelConfiguration *)configuration
     completionHandler:(void (^)(MLModel *, NSError *))handler {
  NSError *error = nil;
  MLModel *const model = [self modelWithCompiled:[asset box]->compiled
                                   configuration:configuration
                                           error:&error];
  handler(model, error);
}

- (MLModelConfiguration *)configuration {
  return [[_configuration copy] autorelease];
}
- (void)dealloc {
  delete _box;
  [_modelDescription release];
  [_configuration release];
  [super dealloc];
}

- (id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)input
                                          error:(NSError **)error {
  return [self predictionFromFeatures:input
                              options:[[[MLPredictionOptions alloc] init] autorelease]
                                error:error];
}
- (id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)input
                                        options:(MLPredictionOptions *)options
                                          error:(NSError **)error {
  return predict(*_box, _modelDescription, input, nil, options.outputBackings, error);
}
- (void)predictionFromFeatures:(id<MLFeatureProvider>)input
                       options:(MLPredictionOptions *)options
             completionHandler:(void (^)(id<MLFeatureProvider>, NSError *))completionHandler {
  void (^const kept)(id<MLFeatureProvider>, NSError *) = Block_copy(completionHandler);
  [(id)input retain];
  [options retain];
  [self retain];
  std::thread([self, input, options, kept] {
    @autoreleasepool {
      NSError *error = nil;
      id<MLFeatureProvider> output = [self predictionFromFeatures:input
                                                          options:options
                                                            error:&error];
      kept(output, output == nil ? error : nil);
      Block_release(kept);
      [(id)input release];
      [options release];
      [self release];
    }
  }).detach();
}
- (id<MLBatchProvider>)predictionsFromBatch:(id<MLBatchProvider>)inputBatch
                                    options:(MLPredictionOptions *)options
                                      error:(NSError **)error {
  (void)options;  // "... or in the batch prediction mode": no backings.
  NSMutableArray *const outputs = [NSMutableArray array];
  for (NSInteger i = 0; i < [inputBatch count]; ++i) {
    id<MLFeatureProvider> const output =
        predict(*_box, _modelDescription, [inputBatch featuresAtIndex:i], nil, nil, error);
    if (output == nil) return nil;
    [outputs addObject:output];
  }
  return [[[MLArrayBatchProvider alloc] initWithFeatureProviderArray:outputs] autorelease];
}
@end

@implementation MLModel (MLState)
- (MLState *)newState {
  if (enter(Stage::kNewState).fails) return nil;
  CMLStateBox *const box = new CMLStateBox;
  box->model = _box->identity;
  box->specs = _box->model->description().states;
  if (!box->specs.empty()) {
    auto state = _box->model->make_state({});
    if (!state.ok()) {
      delete box;
      [NSException raise:NSGenericException format:@"%@", string(state.status().to_string())];
    }
    box->state = *std::move(state);
  }
  return [[MLState alloc] initWithBox:box];
}
- (id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)inputFeatures
                                     usingState:(MLState *)state
                                          error:(NSError **)error {
  return [self predictionFromFeatures:inputFeatures
                           usingState:state
                              options:[[[MLPredictionOptions alloc] init] autorelease]
                                error:error];
}
- (id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)inputFeatures
                                     usingState:(MLState *)state
                                        options:(MLPredictionOptions *)options
                                          error:(NSError **)error {
  return predict(*_box, _modelDescription, inputFeatures, state, options.outputBackings, error);
}
@end
