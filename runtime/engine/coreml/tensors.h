#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_TENSORS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_TENSORS_H_

// Between engine.h's tensors and MLMultiArray. Objective-C++; call inside guarded().
//
// Thread rule: functions without state.

#import <CoreML/CoreML.h>

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/tensor_type.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

// unsupported for what a multi-array cannot hold on this system: float16 needs macOS 12 or iOS 16;
// 8-bit and 64-bit integers and booleans have no multi-array type.
Result<MLMultiArrayDataType> multi_array_type(DataType type, const std::string& artifact);
// kInvalid for types that this library does not know.
DataType data_type(MLMultiArrayDataType type);

NSArray* to_numbers(std::span<const int64_t> values);
std::vector<int64_t> from_numbers(NSArray* numbers);

// A multi-array over the caller's memory, autoreleased. No copy; the memory must outlive it. No
// strides are contiguous ones.
Result<MLMultiArray*> borrow(DataType type, std::span<const int64_t> shape,
                             std::span<const int64_t> strides, const void* data,
                             const std::string& name);

// Calls `read` with the array's memory and strides, which it must not keep.
template <typename Read>
void with_bytes(MLMultiArray* array, const Read& read) {
  const std::vector<int64_t> strides = from_numbers(array.strides);
  if (@available(macOS 12.3, iOS 15.4, tvOS 15.4, watchOS 8.5, *)) {
    [array getBytesWithHandler:^(const void* bytes, NSInteger) {
      read(bytes, std::span<const int64_t>(strides));
    }];
    return;
  }
  read(array.dataPointer, std::span<const int64_t>(strides));
}

// The same for writing: the strides are those passed, not those the array had before.
template <typename Write>
void with_mutable_bytes(MLMultiArray* array, const Write& write) {
  if (@available(macOS 12.3, iOS 15.4, tvOS 15.4, watchOS 8.5, *)) {
    [array getMutableBytesWithHandler:^(void* bytes, NSInteger, NSArray<NSNumber*>* steps) {
      const std::vector<int64_t> strides = from_numbers(steps);
      write(bytes, std::span<const int64_t>(strides));
    }];
    return;
  }
  const std::vector<int64_t> strides = from_numbers(array.strides);
  write(array.dataPointer, std::span<const int64_t>(strides));
}

// What a loaded model says of itself, in the order of names. unsupported for features that are no
// multi-arrays.
Result<FunctionDescription> describe(MLModelDescription* description, const std::string& function);

// Whether a loaded model has the inputs, outputs and states that it was compiled with. corrupt_data
// names the first that differs.
Status check_description(MLModelDescription* description, const FunctionDescription& expected);

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_TENSORS_H_
