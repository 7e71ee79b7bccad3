#include "runtime/engine/coreml/tensors.h"

#include <algorithm>

#include "base/strides.h"
#include "runtime/engine/coreml/guard.h"
#include "runtime/engine/tensor_layout.h"

namespace coreml_delegate::engine::coreml {

namespace {

Result<TensorSpec> spec_of(MLFeatureDescription* feature) {
  TensorSpec spec;
  spec.name = from_ns(feature.name);
  if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
    if (feature.type == MLFeatureTypeState) {
      spec.dtype = data_type(feature.stateConstraint.dataType);
      for (const int64_t extent : from_numbers(feature.stateConstraint.bufferShape)) {
        spec.shape.push_back({extent, extent});
      }
      return spec;
    }
  }
  MLMultiArrayConstraint* const constraint = feature.multiArrayConstraint;
  if (feature.type != MLFeatureTypeMultiArray || constraint == nil) {
    return unsupported("the feature is not a multi-array", spec.name);
  }
  spec.dtype = data_type(constraint.dataType);
  for (const int64_t extent : from_numbers(constraint.shape))
    spec.shape.push_back({extent, extent});
  MLMultiArrayShapeConstraint* const shapes = constraint.shapeConstraint;
  if (shapes.type == MLMultiArrayShapeConstraintTypeEnumerated &&
      [shapes.enumeratedShapes count] > 1) {
    for (NSArray* shape in shapes.enumeratedShapes) {
      const std::vector<int64_t> extents = from_numbers(shape);
      if (extents.size() != spec.shape.size())
        return unsupported("the ranks of the feature's shapes differ", spec.name);
      for (size_t i = 0; i < extents.size(); ++i) {
        spec.shape[i].min = std::min(spec.shape[i].min, extents[i]);
        spec.shape[i].max = std::max(spec.shape[i].max, extents[i]);
      }
      spec.enumerated_shapes.push_back(extents);
    }
  } else if (shapes.type == MLMultiArrayShapeConstraintTypeRange) {
    spec.shape.clear();
    for (NSValue* value in shapes.sizeRangeForDimension) {
      const NSRange range = [value rangeValue];
      // Where there is no upper bound, location and length reach the end of what an integer holds.
      const NSUInteger last = range.location + range.length - 1;
      const bool open = last < range.location || last >= static_cast<NSUInteger>(INT32_MAX);
      spec.shape.push_back({static_cast<int64_t>(range.location),
                            open ? Dimension::kUnbounded : static_cast<int64_t>(last)});
    }
  }
  return spec;
}

Result<std::vector<TensorSpec>> specs_of(NSDictionary* features) {
  std::vector<TensorSpec> specs;
  for (NSString* name in features) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(specs.emplace_back(), spec_of([features objectForKey:name]));
  }
  std::sort(specs.begin(), specs.end(),
            [](const TensorSpec& a, const TensorSpec& b) { return a.name < b.name; });
  return specs;
}

Status check_features(const char* kind, const std::vector<TensorSpec>& found,
                      const std::vector<TensorSpec>& expected) {
  for (const TensorSpec& spec : expected) {
    const auto there = std::find_if(found.begin(), found.end(), [&](const TensorSpec& other) {
      return other.name == spec.name;
    });
    if (there == found.end()) {
      return corrupt_data(std::string("the compiled model has no ") + kind + " with this name",
                          spec.name);
    }
    if (there->dtype != spec.dtype) {
      return corrupt_data(std::string("the compiled model's ") + kind + " is " +
                              std::string(data_type_name(there->dtype)),
                          spec.to_string());
    }
  }
  if (found.size() != expected.size()) {
    return corrupt_data("the compiled model has " + std::to_string(found.size()) + " " + kind +
                        "s, and not " + std::to_string(expected.size()));
  }
  return {};
}

NSDictionary* state_descriptions(MLModelDescription* description) {
  if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
    return description.stateDescriptionsByName;
  }
  return nil;
}

}  // namespace

Result<MLMultiArrayDataType> multi_array_type(DataType type, const std::string& artifact) {
  switch (type) {
    case DataType::kFloat32:
      return MLMultiArrayDataTypeFloat32;
    case DataType::kFloat64:
      return MLMultiArrayDataTypeDouble;
    case DataType::kInt32:
      return MLMultiArrayDataTypeInt32;
    case DataType::kFloat16:
      if (@available(macOS 12.0, iOS 16.0, tvOS 16.0, watchOS 9.0, *)) {
        return MLMultiArrayDataTypeFloat16;
      }
      return unsupported("float16 inputs and outputs of a model need iOS 16; export the model with "
                         "float32 inputs and outputs",
                         artifact);
    default:
      return unsupported("Core ML has no multi-array of " + std::string(data_type_name(type)),
                         artifact);
  }
}

DataType data_type(MLMultiArrayDataType type) {
  switch (static_cast<NSInteger>(type)) {
    case MLMultiArrayDataTypeFloat32:
      return DataType::kFloat32;
    case MLMultiArrayDataTypeDouble:
      return DataType::kFloat64;
    case MLMultiArrayDataTypeInt32:
      return DataType::kInt32;
    // MLMultiArrayDataTypeFloat16: only its name needs a newer system.
    case 0x10000 | 16:
      return DataType::kFloat16;
    default:
      return DataType::kInvalid;
  }
}

NSArray* to_numbers(std::span<const int64_t> values) {
  NSMutableArray* const numbers = [NSMutableArray arrayWithCapacity:values.size()];
  for (const int64_t value : values) [numbers addObject:[NSNumber numberWithLongLong:value]];
  return numbers;
}

std::vector<int64_t> from_numbers(NSArray* numbers) {
  std::vector<int64_t> values;
  values.reserve([numbers count]);
  for (NSNumber* number in numbers) values.push_back([number longLongValue]);
  return values;
}

Result<MLMultiArray*> borrow(DataType type, std::span<const int64_t> shape,
                             std::span<const int64_t> strides, const void* data,
                             const std::string& name) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const MLMultiArrayDataType array_type,
                                   multi_array_type(type, name));
  const std::vector<int64_t> contiguous = contiguous_strides(shape);
  // A tensor without elements may have no memory, a multi-array must have some.
  static char nothing[8];
  void* const pointer = data != nullptr ? const_cast<void*>(data) : nothing;
  NSError* error = nil;
  MLMultiArray* const array = [[[MLMultiArray alloc]
      initWithDataPointer:pointer
                    shape:to_numbers(shape)
                 dataType:array_type
                  strides:to_numbers(strides.empty() ? std::span<const int64_t>(contiguous)
                                                     : strides)
              deallocator:nullptr
                    error:&error] autorelease];
  if (array == nil) return status_of_error(error, "describe a tensor to Core ML", name);
  return array;
}

Result<FunctionDescription> describe(MLModelDescription* description, const std::string& function) {
  FunctionDescription result;
  result.name = function;
  COREML_DELEGATE_ASSIGN_OR_RETURN(result.inputs, specs_of(description.inputDescriptionsByName));
  COREML_DELEGATE_ASSIGN_OR_RETURN(result.outputs, specs_of(description.outputDescriptionsByName));
  COREML_DELEGATE_ASSIGN_OR_RETURN(result.states, specs_of(state_descriptions(description)));
  return result;
}

Status check_description(MLModelDescription* description, const FunctionDescription& expected) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const FunctionDescription found,
                                   describe(description, expected.name));
  COREML_DELEGATE_RETURN_IF_ERROR(check_features("input", found.inputs, expected.inputs));
  COREML_DELEGATE_RETURN_IF_ERROR(check_features("output", found.outputs, expected.outputs));
  return check_features("state", found.states, expected.states);
}

}  // namespace coreml_delegate::engine::coreml
