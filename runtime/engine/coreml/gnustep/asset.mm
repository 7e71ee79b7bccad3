// Compiling, opening and describing .mlmodelc folders.

#include <thread>

#include "base/file.h"
#include "runtime/engine/coreml/gnustep/framework.h"

using coreml_delegate::real_file_system;
using coreml_delegate::Result;
using coreml_delegate::Status;
using coreml_delegate::temporary_directory;
using namespace coreml_delegate::core_ml_gnustep;  // NOLINT: the framework's own.

namespace {

// The path of the compiled model, in the folder for temporary files.
Result<std::string> compile(const std::string &package) {
  // A name of its own, with the ending that compiled models have.
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      const std::string reserved,
      real_file_system().make_unique_directory(temporary_directory(), "core_ml_compiled"));
  const std::string destination = reserved + ".mlmodelc";
  Status status = compile_package(package, destination);
  const Status removed = real_file_system().remove_tree(reserved);
  if (!status.ok()) return status.annotate("compile the package", package);
  if (!removed.ok()) return removed;
  return destination;
}

MLModelDescription *describe(const CompiledModel &compiled, const std::string &function,
                             NSError **error) {
  const auto signature = compiled.package().function_signature(function);
  if (!signature.ok()) {
    set_error(error, make_error(signature.status()));
    return nil;
  }
  return [MLModelDescription descriptionWithFunction:*signature];
}

}  // namespace

@implementation MLModel (MLModelCompilation)
+ (NSURL *)compileModelAtURL:(NSURL *)modelURL error:(NSError **)error {
  const Injected injected = enter(Stage::kCompile);
  if (injected.fails) {
    set_error(error, injected.error);
    return nil;
  }
  const Result<std::string> compiled = compile(text([modelURL path]));
  if (!compiled.ok()) {
    set_error(error, make_error(compiled.status()));
    return nil;
  }
  return [NSURL fileURLWithPath:string(*compiled) isDirectory:YES];
}

+ (void)compileModelAtURL:(NSURL *)modelURL
        completionHandler:(void (^)(NSURL *, NSError *))handler {
  void (^const kept)(NSURL *, NSError *) = Block_copy(handler);
  [modelURL retain];
  std::thread([modelURL, kept] {
    @autoreleasepool {
      NSError *error = nil;
      NSURL *url = nil;
      @try {
        url = [MLModel compileModelAtURL:modelURL error:&error];
      } @catch (NSException *exception) {
        error = make_error(MLModelErrorGeneric, text([exception reason]));
      }
      kept(url, url == nil ? error : nil);
      Block_release(kept);
      [modelURL release];
    }
  }).detach();
}
@end

@implementation MLModelAsset
+ (instancetype)modelAssetWithURL:(NSURL *)compiledModelURL error:(NSError **)error {
  const auto compiled = CompiledModel::open(text([compiledModelURL path]));
  if (!compiled.ok()) {
    set_error(error, make_error(compiled.status()));
    return nil;
  }
  // -init is not for clients.
  MLModelAsset *const asset = [[self alloc] autorelease];
  asset->_box = new CMLCompiledBox{*compiled};
  return asset;
}
- (struct CMLCompiledBox *)box {
  return _box;
}
- (void)dealloc {
  delete _box;
  [super dealloc];
}

- (void)modelDescriptionWithCompletionHandler:(void (^)(MLModelDescription *, NSError *))handler {
  [self modelDescriptionOfFunctionNamed:@"" completionHandler:handler];
}
- (void)modelDescriptionOfFunctionNamed:(NSString *)functionName
                      completionHandler:(void (^)(MLModelDescription *, NSError *))handler {
  NSError *error = nil;
  MLModelDescription *const description = describe(*_box->compiled, text(functionName), &error);
  handler(description, error);
}
- (void)functionNamesWithCompletionHandler:(void (^)(NSArray<NSString *> *, NSError *))handler {
  NSMutableArray *const names = [NSMutableArray array];
  for (const std::string &name : _box->compiled->package().function_names()) {
    [names addObject:string(name)];
  }
  handler(names, nil);
}
@end
