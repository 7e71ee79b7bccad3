#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/half.h"
#include "base/strides.h"
#include "runtime/engine/coreml/gnustep/framework.h"
#include "runtime/engine/tensor_layout.h"

using coreml_delegate::data_type_size;
using coreml_delegate::DataType;
using coreml_delegate::float_to_half;
using coreml_delegate::half_to_float;
using coreml_delegate::core_ml_gnustep::data_type;
using coreml_delegate::core_ml_gnustep::extents;
using coreml_delegate::core_ml_gnustep::make_error;
using coreml_delegate::core_ml_gnustep::numbers;
using coreml_delegate::core_ml_gnustep::set_error;
namespace layout = coreml_delegate::engine;

namespace {

NSNumber *load(DataType type, const void *at) {
  switch (type) {
    case DataType::kFloat16: {
      uint16_t bits;
      std::memcpy(&bits, at, sizeof bits);
      return [NSNumber numberWithFloat:half_to_float(bits)];
    }
    case DataType::kFloat32: {
      float value;
      std::memcpy(&value, at, sizeof value);
      return [NSNumber numberWithFloat:value];
    }
    case DataType::kFloat64: {
      double value;
      std::memcpy(&value, at, sizeof value);
      return [NSNumber numberWithDouble:value];
    }
    default: {
      int32_t value;
      std::memcpy(&value, at, sizeof value);
      return [NSNumber numberWithInt:value];
    }
  }
}

void store(DataType type, void *at, NSNumber *number) {
  switch (type) {
    case DataType::kFloat16: {
      const uint16_t bits = float_to_half([number floatValue]);
      std::memcpy(at, &bits, sizeof bits);
      break;
    }
    case DataType::kFloat32: {
      const float value = [number floatValue];
      std::memcpy(at, &value, sizeof value);
      break;
    }
    case DataType::kFloat64: {
      const double value = [number doubleValue];
      std::memcpy(at, &value, sizeof value);
      break;
    }
    default: {
      const int32_t value = [number intValue];
      std::memcpy(at, &value, sizeof value);
      break;
    }
  }
}

}  // namespace

@interface MLMultiArray (CMLElements)
- (char *)elementAtIndexes:(const std::vector<int64_t> &)indexes;
- (std::vector<int64_t>)indexesOfElement:(NSInteger)index;
@end

@implementation MLMultiArray
@synthesize dataPointer = _dataPointer;
@synthesize dataType = _dataType;
@synthesize shape = _shape;
@synthesize strides = _strides;
@synthesize count = _count;

- (instancetype)initWithDataPointer:(void *)dataPointer
                              shape:(NSArray *)shape
                           dataType:(MLMultiArrayDataType)dataType
                            strides:(NSArray *)strides
                        deallocator:(void (^)(void *))deallocator
                              error:(NSError **)error {
  if (!(self = [super init])) return nil;
  const std::vector<int64_t> sizes = extents(shape);
  const int64_t elements = layout::element_count(sizes);
  if (data_type(dataType) == DataType::kInvalid || elements < 0 ||
      [strides count] != [shape count]) {
    set_error(error, make_error(MLModelErrorGeneric,
                                "a multi-array needs a known data type and one stride per extent"));
    [self release];
    return nil;
  }
  _dataPointer = dataPointer;
  _dataType = dataType;
  _shape = [shape copy];
  _strides = [strides copy];
  _count = elements;
  if (deallocator != nullptr) _deallocator = Block_copy(deallocator);
  return self;
}

- (instancetype)initWithShape:(NSArray *)shape
                     dataType:(MLMultiArrayDataType)dataType
                      strides:(NSArray *)strides {
  const std::vector<int64_t> sizes = extents(shape);
  const std::vector<int64_t> steps = extents(strides);
  if (!layout::is_disjoint(sizes, steps)) {
    [NSException raise:NSInvalidArgumentException
                format:@"the strides of a multi-array overlap: %@ for %@", strides, shape];
  }
  const int64_t span = layout::element_span(sizes, steps);
  const size_t bytes = static_cast<size_t>(span) * data_type_size(data_type(dataType));
  return [self initWithDataPointer:std::malloc(std::max<size_t>(bytes, 1))
                             shape:shape
                          dataType:dataType
                           strides:strides
                       deallocator:^(void *pointer) {
                         std::free(pointer);
                       }
                             error:nullptr];
}

- (instancetype)initWithShape:(NSArray *)shape
                     dataType:(MLMultiArrayDataType)dataType
                        error:(NSError **)error {
  const std::vector<int64_t> sizes = extents(shape);
  if (layout::element_count(sizes) < 0 || data_type(dataType) == DataType::kInvalid) {
    set_error(error, make_error(MLModelErrorGeneric, "no multi-array of such a shape or type"));
    [self release];
    return nil;
  }
  return [self initWithShape:shape
                    dataType:dataType
                     strides:numbers(coreml_delegate::contiguous_strides(sizes))];
}

- (void)dealloc {
  if (_deallocator != nullptr) {
    _deallocator(_dataPointer);
    Block_release(_deallocator);
  }
  [_shape release];
  [_strides release];
  [super dealloc];
}

- (NSInteger)byteSize {
  return static_cast<NSInteger>(
      static_cast<size_t>(layout::element_span(extents(_shape), extents(_strides))) *
      data_type_size(data_type(_dataType)));
}

- (void)getBytesWithHandler:(void(NS_NOESCAPE ^)(const void *, NSInteger))handler {
  handler(_dataPointer, [self byteSize]);
}

- (void)getMutableBytesWithHandler:(void(NS_NOESCAPE ^)(void *, NSInteger, NSArray<NSNumber *> *))
                                       handler {
  handler(_dataPointer, [self byteSize], _strides);
}

- (char *)elementAtIndexes:(const std::vector<int64_t> &)indexes {
  const std::vector<int64_t> sizes = extents(_shape);
  const std::vector<int64_t> steps = extents(_strides);
  if (indexes.size() != sizes.size()) {
    [NSException raise:NSInvalidArgumentException
                format:@"%zu indexes into a multi-array of rank %zu", indexes.size(), sizes.size()];
  }
  int64_t offset = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (indexes[i] < 0 || indexes[i] >= sizes[i]) {
      [NSException raise:NSRangeException
                  format:@"index %lld of dimension %zu is outside %@",
                         static_cast<long long>(indexes[i]), i, _shape];
    }
    offset += indexes[i] * steps[i];
  }
  return static_cast<char *>(_dataPointer) +
         static_cast<size_t>(offset) * data_type_size(data_type(_dataType));
}

- (std::vector<int64_t>)indexesOfElement:(NSInteger)index {
  if (index < 0 || index >= _count) {
    [NSException raise:NSRangeException format:@"element %ld of %ld", (long)index, (long)_count];
  }
  const std::vector<int64_t> sizes = extents(_shape);
  std::vector<int64_t> indexes(sizes.size(), 0);
  int64_t rest = index;
  for (size_t i = sizes.size(); i-- > 0;) {
    indexes[i] = rest % sizes[i];
    rest /= sizes[i];
  }
  return indexes;
}

- (NSNumber *)objectAtIndexedSubscript:(NSInteger)index {
  return load(data_type(_dataType), [self elementAtIndexes:[self indexesOfElement:index]]);
}
- (NSNumber *)objectForKeyedSubscript:(NSArray *)key {
  return load(data_type(_dataType), [self elementAtIndexes:extents(key)]);
}
- (void)setObject:(NSNumber *)value atIndexedSubscript:(NSInteger)index {
  store(data_type(_dataType), [self elementAtIndexes:[self indexesOfElement:index]], value);
}
- (void)setObject:(NSNumber *)value forKeyedSubscript:(NSArray *)key {
  store(data_type(_dataType), [self elementAtIndexes:extents(key)], value);
}

- (void)transferToMultiArray:(MLMultiArray *)destination {
  if (![_shape isEqual:destination.shape]) {
    [NSException raise:NSInvalidArgumentException
                format:@"a transfer from %@ to %@", _shape, destination.shape];
  }
  if (_dataType == destination.dataType) {
    layout::copy_strided(extents(_shape), data_type_size(data_type(_dataType)), _dataPointer,
                         extents(_strides), destination.dataPointer, extents(destination.strides));
    return;
  }
  for (NSInteger i = 0; i < _count; ++i) {
    [destination setObject:[self objectAtIndexedSubscript:i] atIndexedSubscript:i];
  }
}
@end
