#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_TESTING_CORE_ML_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_TESTING_CORE_ML_H_

// What tests ask of this framework beyond Apple's API: to fail where it is told to, and what it
// did. Plain C++.
//
// Thread rule: everything may be called from several threads at once.

#include <cstdint>

namespace coreml_delegate::core_ml_gnustep {

enum class Stage { kCompile, kLoad, kPredict, kNewState, kStateAccess, kComputePlan };
inline constexpr int kStageCount = 6;

enum class Fault {
  kError,      // The method reports an NSError (where it has no error parameter: as kException).
  kException,  // It raises an NSException.
  kNeither,    // It gives neither a result nor an error, which no caller may trust never to happen.
  kHang,       // It waits until release_hanging().
};

// The next `count` entries into the stage fail so.
void fail_next(Stage stage, Fault fault, int count = 1);
// Lets go of what hangs and takes every fault back.
void reset_faults();

// Objects of this framework that exist.
int64_t live_objects();
// Predictions, and how many outputs went to a backing or were allocated, since the process started.
struct Counters {
  int64_t predictions = 0;
  int64_t backed_outputs = 0;
  int64_t allocated_outputs = 0;
};
Counters counters();

// Refuses to use backings, as a model may that "doesn't support the user allocated buffers".
void ignore_backings(bool ignore);

}  // namespace coreml_delegate::core_ml_gnustep

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_TESTING_CORE_ML_H_
