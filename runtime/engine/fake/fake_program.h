#ifndef COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_PROGRAM_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_PROGRAM_H_

// The toy models that the fake engine executes. A package holds one file, kProgramFile, of lines:
//
//   function main
//   input x float32 [2, 1..8]
//   state s float16 [4]
//   output y float32 [2, 1..8] = identity x
//   output z float32 [2, 1..8] = add x y_in
//   output t float32 [4] = accumulate s x       (adds x to the state s and gives the sum)
//   output n int64 [0..16] = nonzero x          (indices of what is not zero: a shape that depends
//                                                on values)
//   output w float32 [3] = weight weights.bin   (the bytes of a file of the package, used in place)
//
// A dimension is N, N..M or N.. (no upper bound). Lines that are empty or start with # are left
// out. Operands are inputs, except accumulate's first (a state) and weight's (a path).

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/tensor_type.h"

namespace coreml_delegate::engine {

inline constexpr std::string_view kFakeProgramFile = "fake_model.txt";

enum class FakeOperation { kIdentity, kAdd, kAccumulate, kNonzero, kWeight };

struct FakeOutput {
  TensorSpec spec;
  FakeOperation operation = FakeOperation::kIdentity;
  std::vector<std::string> operands;
};

struct FakeFunction {
  std::string name;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> states;
  std::vector<FakeOutput> outputs;
};

// corrupt_data names the line that breaks a rule.
Result<std::vector<FakeFunction>> parse_fake_program(std::string_view text);

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_PROGRAM_H_
