// The structure of a model's program, and a plan that knows one device.

#include <thread>

#include "runtime/engine/coreml/gnustep/framework.h"

using coreml_delegate::model::Block;
using coreml_delegate::model::NamedType;
using coreml_delegate::model::Operation;
using namespace coreml_delegate::core_ml_gnustep;  // NOLINT: the framework's own.

@implementation MLModelStructureProgramNamedValueType
@synthesize name = _name;
- (instancetype)initWithName:(const std::string &)name {
  if ((self = [super init])) _name = [string(name) copy];
  return self;
}
- (void)dealloc {
  [_name release];
  [super dealloc];
}
@end

namespace {

NSArray *named_types(const std::vector<NamedType> &types) {
  NSMutableArray *const result = [NSMutableArray array];
  for (const NamedType &type : types) {
    [result addObject:[[[MLModelStructureProgramNamedValueType alloc] initWithName:type.name]
                          autorelease]];
  }
  return result;
}

}  // namespace

@interface MLModelStructureProgramBlock (CMLPrivate)
- (instancetype)initWithBlock:(const Block &)block;
@end

@implementation MLModelStructureProgramOperation
@synthesize operatorName = _operatorName;
@synthesize outputs = _outputs;
@synthesize blocks = _blocks;
- (instancetype)initWithOperation:(const Operation &)operation opset:(const std::string &)opset {
  if (!(self = [super init])) return nil;
  // Apple's names carry the opset: "ios16.add".
  _operatorName = [string(opset + "." + operation.type) copy];
  _outputs = [named_types(operation.outputs) copy];
  NSMutableArray *const blocks = [NSMutableArray array];
  for (const Block &block : operation.blocks) {
    [blocks addObject:[[[MLModelStructureProgramBlock alloc] initWithBlock:block] autorelease]];
  }
  _blocks = [blocks copy];
  return self;
}
- (void)dealloc {
  [_operatorName release];
  [_outputs release];
  [_blocks release];
  [super dealloc];
}
@end

@implementation MLModelStructureProgramBlock
@synthesize inputs = _inputs;
@synthesize operations = _operations;
@synthesize outputNames = _outputNames;
- (instancetype)initWithBlock:(const Block &)block {
  if (!(self = [super init])) return nil;
  _inputs = [named_types(block.inputs) copy];
  NSMutableArray *const operations = [NSMutableArray array];
  for (const Operation &operation : block.operations) {
    [operations
        addObject:[[[MLModelStructureProgramOperation alloc] initWithOperation:operation
                                                                         opset:"mil"] autorelease]];
  }
  _operations = [operations copy];
  NSMutableArray *const names = [NSMutableArray array];
  for (const std::string &name : block.outputs) [names addObject:string(name)];
  _outputNames = [names copy];
  return self;
}
- (void)dealloc {
  [_inputs release];
  [_operations release];
  [_outputNames release];
  [super dealloc];
}
@end

@implementation MLModelStructureProgramFunction
@synthesize inputs = _inputs;
@synthesize block = _block;
- (instancetype)initWithFunction:(const coreml_delegate::model::Function &)function {
  if ((self = [super init])) {
    _inputs = [named_types(function.inputs) copy];
    _block = [[MLModelStructureProgramBlock alloc] initWithBlock:function.body];
  }
  return self;
}
- (void)dealloc {
  [_inputs release];
  [_block release];
  [super dealloc];
}
@end

@implementation MLModelStructureProgram
@synthesize functions = _functions;
- (instancetype)initWithFunctions:(NSDictionary *)functions {
  if ((self = [super init])) _functions = [functions copy];
  return self;
}
- (void)dealloc {
  [_functions release];
  [super dealloc];
}
@end

@implementation MLModelStructure
@synthesize program = _program;
- (instancetype)initWithPackage:(const coreml_delegate::model::Package &)package
                          error:(NSError **)error {
  if (!(self = [super init])) return nil;
  NSMutableDictionary *const functions = [NSMutableDictionary dictionary];
  for (const std::string &name : package.function_names()) {
    const auto function = package.function(name);
    if (!function.ok()) {
      set_error(error, make_error(function.status()));
      [self release];
      return nil;
    }
    [functions
        setObject:[[[MLModelStructureProgramFunction alloc] initWithFunction:*function] autorelease]
           forKey:string(name)];
  }
  _program = [[MLModelStructureProgram alloc] initWithFunctions:functions];
  return self;
}
+ (void)loadContentsOfURL:(NSURL *)url
        completionHandler:(void (^)(MLModelStructure *, NSError *))handler {
  NSError *error = nil;
  MLModelStructure *structure = nil;
  const auto compiled = CompiledModel::open(text([url path]));
  if (compiled.ok()) {
    structure = [[[MLModelStructure alloc] initWithPackage:(*compiled)->package()
                                                     error:&error] autorelease];
  } else {
    error = make_error(compiled.status());
  }
  handler(structure, error);
}
- (void)dealloc {
  [_program release];
  [super dealloc];
}
@end

@implementation MLComputePlanCost
- (instancetype)initWithWeight:(double)weight {
  if ((self = [super init])) _weight = weight;
  return self;
}
@synthesize weight = _weight;
@end

@implementation MLComputePlanDeviceUsage
- (NSArray *)supportedComputeDevices {
  return MLAllComputeDevices();
}
- (id<MLComputeDeviceProtocol>)preferredComputeDevice {
  return [MLAllComputeDevices() objectAtIndex:0];
}
@end

@interface MLModelStructureProgramOperation (CMLPrivate)
- (BOOL)isConstant;
@end
@implementation MLModelStructureProgramOperation (CMLPrivate)
- (BOOL)isConstant {
  return [_operatorName hasSuffix:@".const"];
}
@end

namespace {

NSInteger count_operations(MLModelStructureProgramBlock *block) {
  NSInteger count = 0;
  for (MLModelStructureProgramOperation *operation in block.operations) {
    if (![operation isConstant]) ++count;
  }
  return count;
}

}  // namespace

@implementation MLComputePlan
@synthesize modelStructure = _modelStructure;
- (instancetype)initWithStructure:(MLModelStructure *)structure function:(NSString *)function {
  if ((self = [super init])) {
    _modelStructure = [structure retain];
    NSDictionary *const functions = structure.program.functions;
    MLModelStructureProgramFunction *const planned = function != nil
                                                         ? [functions objectForKey:function]
                                                         : [[functions allValues] objectAtIndex:0];
    _operationCount = count_operations(planned.block);
  }
  return self;
}
- (void)dealloc {
  [_modelStructure release];
  [super dealloc];
}
+ (void)loadContentsOfURL:(NSURL *)url
            configuration:(MLModelConfiguration *)configuration
        completionHandler:(void (^)(MLComputePlan *, NSError *))handler {
  // On a thread of its own, as Core ML does.
  void (^const kept)(MLComputePlan *, NSError *) = Block_copy(handler);
  NSString *const function = [configuration.functionName copy];
  [url retain];
  std::thread([url, function, kept] {
    @autoreleasepool {
      const Injected injected = enter(Stage::kComputePlan);
      if (injected.fails) {
        kept(nil, injected.error);
      } else {
        [MLModelStructure loadContentsOfURL:url
                          completionHandler:^(MLModelStructure *structure, NSError *error) {
                            if (structure == nil) {
                              kept(nil, error);
                              return;
                            }
                            kept([[[MLComputePlan alloc] initWithStructure:structure
                                                                  function:function] autorelease],
                                 nil);
                          }];
      }
      Block_release(kept);
      [function release];
      [url release];
    }
  }).detach();
}
- (MLComputePlanDeviceUsage *)computeDeviceUsageForMLProgramOperation:
    (MLModelStructureProgramOperation *)operation {
  if ([operation isConstant]) return nil;
  return [[[MLComputePlanDeviceUsage alloc] init] autorelease];
}
- (MLComputePlanCost *)estimatedCostOfMLProgramOperation:
    (MLModelStructureProgramOperation *)operation {
  if ([operation isConstant] || _operationCount == 0) return nil;
  return [[[MLComputePlanCost alloc] initWithWeight:1.0 / static_cast<double>(_operationCount)]
      autorelease];
}
@end
