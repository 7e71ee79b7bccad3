#include "runtime/engine/coreml/gnustep/framework.h"
#include "runtime/engine/tensor_layout.h"

using coreml_delegate::Status;
using coreml_delegate::TensorSpec;
using namespace coreml_delegate::core_ml_gnustep;  // NOLINT: the framework's own.

@implementation MLState
- (instancetype)initWithBox:(struct CMLStateBox *)box {
  if ((self = [super init])) _box = box;
  return self;
}
- (struct CMLStateBox *)box {
  return _box;
}
- (void)dealloc {
  delete _box;
  [super dealloc];
}

- (void)getMultiArrayForStateNamed:(NSString *)stateName
                           handler:(void(NS_NOESCAPE ^)(MLMultiArray *))handler {
  if (enter(Stage::kStateAccess).fails) {
    [NSException raise:NSGenericException format:@"no access to the state, for a test"];
  }
  const std::string name = text(stateName);
  const TensorSpec *found = nullptr;
  for (const TensorSpec &spec : _box->specs) {
    if (spec.name == name) found = &spec;
  }
  if (found == nullptr) {
    [NSException raise:NSInvalidArgumentException format:@"the model has no state %@", stateName];
  }
  // "The client shall not read or write the buffers while a prediction is in-flight."
  if (_box->busy.exchange(true)) {
    [NSException raise:NSInternalInconsistencyException
                format:@"the state %@ was accessed during a prediction", stateName];
  }
  std::vector<int64_t> shape;
  for (const coreml_delegate::Dimension &dimension : found->shape) shape.push_back(dimension.min);
  // The engine's buffer is only to be had as a copy: the block works on one, which is written back
  // when it changed.
  MLMultiArray *const array = [[MLMultiArray alloc] initWithShape:numbers(shape)
                                                         dataType:multi_array_type(found->dtype)
                                                            error:nullptr];
  const size_t size = static_cast<size_t>(coreml_delegate::engine::element_count(shape)) *
                      coreml_delegate::data_type_size(found->dtype);
  const std::span<std::byte> bytes(static_cast<std::byte *>(array.dataPointer), size);
  Status status = _box->state->read(name, bytes);
  if (status.ok()) {
    const std::vector<std::byte> before(bytes.begin(), bytes.end());
    @try {
      handler(array);
    } @catch (NSException *exception) {
      [array release];
      _box->busy = false;
      [exception raise];
    }
    if (std::memcmp(before.data(), bytes.data(), size) != 0)
      status = _box->state->write(name, bytes);
  }
  [array release];
  _box->busy = false;
  if (!status.ok()) {
    [NSException raise:NSGenericException format:@"%@", string(status.to_string())];
  }
}
@end
