#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_FRAMEWORK_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_FRAMEWORK_H_

// What the framework's classes know of each other beyond Core ML's API. Objective-C++, private.

#import <CoreML/CoreML.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/tensor_type.h"
#include "runtime/engine/coreml/gnustep/compiled_model.h"
#include "runtime/engine/coreml/testing_core_ml.h"
#include "runtime/engine/engine.h"
#include "runtime/model/program.h"

// An opened .mlmodelc.
struct CMLCompiledBox {
  std::shared_ptr<const coreml_delegate::core_ml_gnustep::CompiledModel> compiled;
};
// A loaded function.
struct CMLModelBox {
  std::shared_ptr<const coreml_delegate::core_ml_gnustep::CompiledModel> compiled;
  std::unique_ptr<coreml_delegate::engine::Model> model;
  coreml_delegate::model::Function signature;
  uint64_t identity = 0;  // Of the MLModel; states belong to one.
};
// The state of a function; none for an empty one.
struct CMLStateBox {
  std::unique_ptr<coreml_delegate::engine::State> state;
  std::vector<coreml_delegate::TensorSpec> specs;
  uint64_t model = 0;
  std::atomic<bool> busy{false};
};

namespace coreml_delegate::core_ml_gnustep {

// Raises or hangs if the stage was told to. True: the caller must report an error (kError) or
// nothing at all (kNeither).
struct Injected {
  bool fails = false;
  NSError *error = nil;
};
Injected enter(Stage stage);

void count_prediction();
void count_output(bool backed);
bool backings_ignored();

NSError *make_error(NSInteger code, const std::string &text);
// With the code that fits the failure best.
NSError *make_error(const Status &status);
// Writes through `error` if there is one to write to.
void set_error(NSError **error, NSError *value);

NSString *string(const std::string &text);
std::string text(NSString *string);
NSArray *numbers(const std::vector<int64_t> &values);
std::vector<int64_t> extents(NSArray *numbers);

// MLMultiArray's name for a type; 0 for one that it does not have.
MLMultiArrayDataType multi_array_type(DataType type);
DataType data_type(MLMultiArrayDataType type);

}  // namespace coreml_delegate::core_ml_gnustep

@interface MLFeatureDescription (CMLPrivate)
+ (instancetype)descriptionWithFeature:(const coreml_delegate::model::Feature &)feature
                                 state:(BOOL)isState;
@end
@interface MLModelDescription (CMLPrivate)
+ (instancetype)descriptionWithFunction:(const coreml_delegate::model::Function &)function;
@end
@interface MLModelAsset (CMLPrivate)
- (struct CMLCompiledBox *)box;
@end
@interface MLState (CMLPrivate)
// Takes the box.
- (instancetype)initWithBox:(struct CMLStateBox *)box;
- (struct CMLStateBox *)box;
@end
@interface MLModelStructure (CMLPrivate)
- (instancetype)initWithPackage:(const coreml_delegate::model::Package &)package
                          error:(NSError **)error;
@end

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_FRAMEWORK_H_
