// What all classes of the framework share: the count of objects, injected faults, errors,
// conversions.

#include <atomic>

#include "base/mutex.h"
#include "runtime/engine/coreml/gnustep/framework.h"

NSString *const MLModelErrorDomain = @"com.apple.CoreML";

namespace {
std::atomic<int64_t> live{0};
}  // namespace

@implementation CMLObject
+ (instancetype)allocWithZone:(NSZone *)zone {
  ++live;
  return [super allocWithZone:zone];
}
- (void)dealloc {
  --live;
  [super dealloc];
}
@end

namespace coreml_delegate::core_ml_gnustep {

namespace {

struct Fixture {
  Mutex mutex;
  ConditionVariable released;
  struct {
    Fault fault = Fault::kError;
    int remaining = 0;
  } faults[kStageCount] COREML_DELEGATE_GUARDED_BY(mutex);
  // Grows when what hangs is let go of.
  uint64_t generation COREML_DELEGATE_GUARDED_BY(mutex) = 0;
};

Fixture &fixture() {
  static Fixture *const instance = new Fixture;
  return *instance;
}

std::atomic<int64_t> predictions{0};
std::atomic<int64_t> backed{0};
std::atomic<int64_t> allocated{0};
std::atomic<bool> ignoring{false};

}  // namespace

void fail_next(Stage stage, Fault fault, int count) {
  Fixture &all = fixture();
  const MutexLock lock(all.mutex);
  all.faults[static_cast<int>(stage)] = {fault, count};
}

void reset_faults() {
  Fixture &all = fixture();
  const MutexLock lock(all.mutex);
  for (auto &fault : all.faults) fault = {};
  ++all.generation;
  all.released.notify_all();
}

int64_t live_objects() { return live; }
Counters counters() { return {predictions, backed, allocated}; }
void ignore_backings(bool ignore) { ignoring = ignore; }
bool backings_ignored() { return ignoring; }
void count_prediction() { ++predictions; }
void count_output(bool is_backed) { ++(is_backed ? backed : allocated); }

Injected enter(Stage stage) {
  Fault fault;
  {
    Fixture &all = fixture();
    const MutexLock lock(all.mutex);
    auto &slot = all.faults[static_cast<int>(stage)];
    if (slot.remaining == 0) return {};
    --slot.remaining;
    fault = slot.fault;
    if (fault == Fault::kHang) {
      const uint64_t generation = all.generation;
      while (all.generation == generation) all.released.wait(all.mutex);
      return {};
    }
  }
  switch (fault) {
    case Fault::kException:
      [NSException raise:NSInternalInconsistencyException format:@"an exception raised for a test"];
      break;
    case Fault::kError:
      return {true, make_error(MLModelErrorGeneric, "an error made for a test")};
    case Fault::kNeither:
    case Fault::kHang:
      break;
  }
  return {true, nil};
}

NSError *make_error(NSInteger code, const std::string &message) {
  return [NSError errorWithDomain:MLModelErrorDomain
                             code:code
                         userInfo:[NSDictionary dictionaryWithObject:string(message)
                                                              forKey:NSLocalizedDescriptionKey]];
}

NSError *make_error(const Status &status) {
  NSInteger code = MLModelErrorGeneric;
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
      code = MLModelErrorFeatureType;
      break;
    case StatusCode::kNotFound:
    case StatusCode::kCorruptData:
    case StatusCode::kIoError:
      code = MLModelErrorIO;
      break;
    default:
      break;
  }
  return make_error(code, status.to_string());
}

void set_error(NSError **error, NSError *value) {
  if (error != nullptr) *error = value;
}

NSString *string(const std::string &text) {
  NSString *const result = [[[NSString alloc] initWithBytes:text.data()
                                                     length:text.size()
                                                   encoding:NSUTF8StringEncoding] autorelease];
  return result != nil ? result : @"(text that is no UTF-8)";
}

std::string text(NSString *string) {
  const char *const utf8 = [string UTF8String];
  return utf8 != nullptr ? utf8 : "";
}

NSArray *numbers(const std::vector<int64_t> &values) {
  NSMutableArray *const result = [NSMutableArray arrayWithCapacity:values.size()];
  for (const int64_t value : values) [result addObject:[NSNumber numberWithLongLong:value]];
  return result;
}

std::vector<int64_t> extents(NSArray *numbers) {
  std::vector<int64_t> result;
  for (NSNumber *number in numbers) result.push_back([number longLongValue]);
  return result;
}

MLMultiArrayDataType multi_array_type(DataType type) {
  switch (type) {
    case DataType::kFloat16:
      return MLMultiArrayDataTypeFloat16;
    case DataType::kFloat32:
      return MLMultiArrayDataTypeFloat32;
    case DataType::kFloat64:
      return MLMultiArrayDataTypeDouble;
    case DataType::kInt32:
      return MLMultiArrayDataTypeInt32;
    default:
      return static_cast<MLMultiArrayDataType>(0);
  }
}

DataType data_type(MLMultiArrayDataType type) {
  switch (type) {
    case MLMultiArrayDataTypeFloat16:
      return DataType::kFloat16;
    case MLMultiArrayDataTypeFloat32:
      return DataType::kFloat32;
    case MLMultiArrayDataTypeDouble:
      return DataType::kFloat64;
    case MLMultiArrayDataTypeInt32:
      return DataType::kInt32;
  }
  return DataType::kInvalid;
}

}  // namespace coreml_delegate::core_ml_gnustep
