#ifndef COREML_DELEGATE_RUNTIME_MODEL_TESTING_MUTATOR_H_
#define COREML_DELEGATE_RUNTIME_MODEL_TESTING_MUTATOR_H_

// Changes to a fuzzer's package (testing_fuzz.h) that leave it a program: constants of another
// kind, extreme numbers and extents, exchanged operations and arguments. Bytes changed at random
// rarely get past the protobuf parser. A fuzz target calls it from LLVMFuzzerCustomMutator.

#include <cstddef>
#include <cstdint>

namespace coreml_delegate::model::testing {

// Changes the package at `data`, in place and by `seed`; its new size, at most `max_size`. 0 where
// it is no package that can be changed: then bytes are the caller's to change.
size_t mutate_package(uint8_t* data, size_t size, size_t max_size, uint32_t seed);

}  // namespace coreml_delegate::model::testing

#endif  // COREML_DELEGATE_RUNTIME_MODEL_TESTING_MUTATOR_H_
