// What a model's inputs, outputs and states may be.

#include <algorithm>

#include "runtime/engine/coreml/gnustep/framework.h"

using coreml_delegate::Dimension;
using coreml_delegate::TensorSpec;
using coreml_delegate::core_ml_gnustep::extents;
using coreml_delegate::core_ml_gnustep::multi_array_type;
using coreml_delegate::core_ml_gnustep::numbers;
using coreml_delegate::core_ml_gnustep::string;

@implementation MLMultiArrayShapeConstraint
@synthesize type = _type;
@synthesize sizeRangeForDimension = _sizeRangeForDimension;
@synthesize enumeratedShapes = _enumeratedShapes;

- (instancetype)initWithSpec:(const TensorSpec &)spec {
  if (!(self = [super init])) return nil;
  _type = MLMultiArrayShapeConstraintTypeUnspecified;
  NSMutableArray *const ranges = [NSMutableArray array];
  NSMutableArray *const shapes = [NSMutableArray array];
  if (!spec.enumerated_shapes.empty()) {
    _type = MLMultiArrayShapeConstraintTypeEnumerated;
    for (const std::vector<int64_t> &shape : spec.enumerated_shapes) {
      [shapes addObject:numbers(shape)];
    }
  } else if (!spec.is_static()) {
    _type = MLMultiArrayShapeConstraintTypeRange;
    for (const Dimension &dimension : spec.shape) {
      const auto first = static_cast<NSUInteger>(dimension.min);
      const NSUInteger last = dimension.max == Dimension::kUnbounded
                                  ? static_cast<NSUInteger>(NSIntegerMax)
                                  : static_cast<NSUInteger>(dimension.max);
      [ranges addObject:[NSValue valueWithRange:NSMakeRange(first, last - first + 1)]];
    }
  }
  _sizeRangeForDimension = [ranges copy];
  _enumeratedShapes = [shapes copy];
  return self;
}
- (void)dealloc {
  [_sizeRangeForDimension release];
  [_enumeratedShapes release];
  [super dealloc];
}
@end

@implementation MLMultiArrayConstraint
@synthesize shape = _shape;
@synthesize dataType = _dataType;
@synthesize shapeConstraint = _shapeConstraint;

- (instancetype)initWithSpec:(const TensorSpec &)spec {
  if (!(self = [super init])) return nil;
  std::vector<int64_t> shape;
  if (!spec.enumerated_shapes.empty()) {
    shape = spec.enumerated_shapes[0];
  } else {
    for (const Dimension &dimension : spec.shape)
      shape.push_back(std::max<int64_t>(dimension.min, 1));
  }
  _shape = [numbers(shape) copy];
  _dataType = multi_array_type(spec.dtype);
  _shapeConstraint = [[MLMultiArrayShapeConstraint alloc] initWithSpec:spec];
  return self;
}
- (BOOL)allows:(MLMultiArray *)array {
  if (array.dataType != _dataType) return NO;
  switch (_shapeConstraint.type) {
    case MLMultiArrayShapeConstraintTypeUnspecified:
      return [array.shape isEqual:_shape];
    case MLMultiArrayShapeConstraintTypeEnumerated:
      return [_shapeConstraint.enumeratedShapes containsObject:array.shape];
    case MLMultiArrayShapeConstraintTypeRange:
      break;
  }
  NSArray *const ranges = _shapeConstraint.sizeRangeForDimension;
  if ([array.shape count] != [ranges count]) return NO;
  for (NSUInteger i = 0; i < [ranges count]; ++i) {
    const NSRange range = [[ranges objectAtIndex:i] rangeValue];
    const auto extent = [[array.shape objectAtIndex:i] unsignedIntegerValue];
    if (extent < range.location || extent - range.location >= range.length) return NO;
  }
  return YES;
}
- (void)dealloc {
  [_shape release];
  [_shapeConstraint release];
  [super dealloc];
}
@end

@implementation MLStateConstraint
@synthesize bufferShape = _bufferShape;
@synthesize dataType = _dataType;

- (instancetype)initWithSpec:(const TensorSpec &)spec {
  if (!(self = [super init])) return nil;
  std::vector<int64_t> shape;
  for (const Dimension &dimension : spec.shape) shape.push_back(dimension.min);
  _bufferShape = [numbers(shape) copy];
  _dataType = multi_array_type(spec.dtype);
  return self;
}
- (void)dealloc {
  [_bufferShape release];
  [super dealloc];
}
@end

@implementation MLFeatureDescription
@synthesize name = _name;
@synthesize type = _type;
@synthesize optional = _optional;
@synthesize multiArrayConstraint = _multiArrayConstraint;
@synthesize stateConstraint = _stateConstraint;

+ (instancetype)descriptionWithFeature:(const coreml_delegate::model::Feature &)feature
                                 state:(BOOL)isState {
  MLFeatureDescription *const description = [[[self alloc] init] autorelease];
  description->_name = [string(feature.tensor.name) copy];
  description->_type = isState ? MLFeatureTypeState : MLFeatureTypeMultiArray;
  description->_optional = feature.optional;
  if (isState) {
    description->_stateConstraint = [[MLStateConstraint alloc] initWithSpec:feature.tensor];
  } else {
    description->_multiArrayConstraint =
        [[MLMultiArrayConstraint alloc] initWithSpec:feature.tensor];
  }
  return description;
}
- (BOOL)isAllowedValue:(MLFeatureValue *)value {
  if (value.isUndefined) return _optional;
  return value.type == MLFeatureTypeMultiArray && _multiArrayConstraint != nil &&
         [_multiArrayConstraint allows:value.multiArrayValue];
}
- (id)copyWithZone:(NSZone *)zone {
  (void)zone;
  return [self retain];
}
- (void)dealloc {
  [_name release];
  [_multiArrayConstraint release];
  [_stateConstraint release];
  [super dealloc];
}
@end

@implementation MLModelDescription
@synthesize inputDescriptionsByName = _inputs;
@synthesize outputDescriptionsByName = _outputs;
@synthesize stateDescriptionsByName = _states;

+ (instancetype)descriptionWithFunction:(const coreml_delegate::model::Function &)function {
  const auto make = [](const std::vector<coreml_delegate::model::Feature> &features, BOOL states) {
    NSMutableDictionary *const result = [NSMutableDictionary dictionary];
    for (const coreml_delegate::model::Feature &feature : features) {
      [result setObject:[MLFeatureDescription descriptionWithFeature:feature state:states]
                 forKey:string(feature.tensor.name)];
    }
    return [result copy];
  };
  MLModelDescription *const description = [[[self alloc] init] autorelease];
  description->_inputs = make(function.input_features, NO);
  description->_outputs = make(function.output_features, NO);
  description->_states = make(function.state_features, YES);
  return description;
}
- (void)dealloc {
  [_inputs release];
  [_outputs release];
  [_states release];
  [super dealloc];
}
@end
