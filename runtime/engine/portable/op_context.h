#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_CONTEXT_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_CONTEXT_H_

// What the handler of a MIL operation gets: its arguments as graph values or as constants, its
// declared output types, and how to give up. A handler returns the operation's outputs in order:
//
//   OpResults translate_sigmoid_hard(OpContext& op) {
//     Output x = op.input("x");
//     float alpha = op.real("alpha", 0.2f);
//     ...
//     return make<ov::op::v0::Clamp>(y, 0.0, 1.0);
//   }
//
// What the translator does around a handler, so that no handler has to: converts each result to the
// runtime type of the declared output (runtime_type()), rounds it to float16 where the mode and the
// type ask for it, refuses a result whose shape contradicts the declared one, names the nodes. A
// missing argument, a constant of the wrong kind, an exception of OpenVINO: each ends in a Status
// that names the operation, its output and the opset. So a handler asks for what it needs and
// checks only what neither the accessors nor OpenVINO check (extents it divides by, sizes it
// allocates).
//
// Thread rule: used by the thread that translates.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/value.h"
#include "runtime/model/program.h"

namespace coreml_delegate::engine::portable {

class Environment;

// Opsets, comparable: kCoreML5 is iOS 15 ... kCoreML8 is iOS 18, kCoreML9 is iOS 26.
enum class Opset : int { kCoreML5 = 5, kCoreML6 = 6, kCoreML7 = 7, kCoreML8 = 8, kCoreML9 = 9 };

class OpContext {
 public:
  OpContext(const model::Operation& operation, Environment& environment);

  const model::Operation& operation() const { return operation_; }
  const std::string& type() const { return operation_.type; }
  const std::string& label() const { return operation_.label(); }
  Opset opset() const;
  NumericMode numeric_mode() const;
  Environment& environment() { return environment_; }

  // --- Arguments. `name` is the parameter's; `index` counts the arguments of a variadic one. Where
  // an operation stores a parameter in its attributes (constexpr_*), the accessors find it there.

  bool has(std::string_view name) const;
  size_t count(std::string_view name) const;
  // What the argument stands for. Fails when missing.
  Value value(std::string_view name, size_t index = 0) const;
  // The argument as a graph value in its runtime type. Fails when missing, a string, a state or a
  // list.
  Output input(std::string_view name, size_t index = 0) const;
  std::optional<Output> optional_input(std::string_view name) const;
  ov::OutputVector inputs(
      std::string_view name) const;  // All of a variadic parameter; at least one.
  // The MIL element type of an argument (kFloat16 for a half whose graph value is f32).
  model::ElementType element(std::string_view name, size_t index = 0) const;

  // --- Constants. An argument counts as constant when the program has it so or when it can be
  // computed from such.

  bool is_constant(std::string_view name, size_t index = 0) const;
  // A constant whose elements are numbers, the only way to its bytes. Fails when it is missing, not
  // known at compile time, or of another kind; the other form is null where it is missing or not
  // known.
  model::ConstantPtr numeric_constant(std::string_view name, size_t index = 0) const;
  model::ConstantPtr find_numeric_constant(std::string_view name, size_t index = 0) const;
  // Whether the argument is a constant string.
  bool is_string(std::string_view name, size_t index = 0) const;
  // Scalars: rank 0 or one element; the forms with a default return it when the argument is
  // missing. Fail when it is there but not known, or of another kind.
  int64_t integer(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t default_value) const;
  float real(std::string_view name) const;
  float real(std::string_view name, float default_value) const;
  bool boolean(std::string_view name) const;
  bool boolean(std::string_view name, bool default_value) const;
  std::string string(std::string_view name) const;
  std::string string(std::string_view name, std::string_view default_value) const;
  // Row-major elements of any shape.
  std::vector<int64_t> integers(std::string_view name) const;
  std::vector<int64_t> integers(std::string_view name, std::vector<int64_t> default_value) const;
  std::vector<bool> booleans(std::string_view name, std::vector<bool> default_value) const;
  std::vector<float> reals(std::string_view name) const;
  std::vector<float> reals(std::string_view name, std::vector<float> default_value) const;
  // An axis brought into [0, rank); fails outside [-rank, rank).
  int64_t axis(std::string_view name, int64_t rank,
               std::optional<int64_t> default_value = {}) const;
  // Axes brought into [0, rank), in the order given; a repeated one fails. Missing: the default, or
  // a failure without one.
  std::vector<int64_t> axes(std::string_view name, int64_t rank,
                            std::optional<std::vector<int64_t>> default_value = {}) const;
  int64_t normalize_axis(int64_t axis, int64_t rank, std::string_view name) const;

  // A 1-D parameter that may be known now or at run time (shape, begin, size, reps ...), as 1-D
  // i64.
  Output index_input(std::string_view name) const;

  // --- Outputs ---

  size_t output_count() const { return operation_.outputs.size(); }
  const model::ValueType& output_type(size_t index = 0) const;
  // The runtime type of a declared output.
  ov::element::Type output_element(size_t index = 0) const;

  // --- Giving up ---

  // The program is malformed: kCorruptData.
  [[noreturn]] void fail(std::string_view message) const;
  // The program is well formed but this engine lacks something: kUnsupported.
  [[noreturn]] void fail_unsupported(std::string_view message) const;
  // fail(message) unless the condition holds.
  void require(bool condition, std::string_view message) const {
    if (!condition) fail(message);
  }
  // "conv -> y (CoreML7)".
  std::string describe() const;

 private:
  const model::Argument* find(std::string_view name, size_t index) const;
  // A constant of any kind: null when missing or not known, or a failure.
  model::ConstantPtr find_constant(std::string_view name, size_t index) const;
  model::ConstantPtr constant(std::string_view name, size_t index) const;
  template <typename T, typename Read>
  std::vector<T> elements(std::string_view name, Read read) const;

  const model::Operation& operation_;
  Environment& environment_;
};

// What a handler returns: one value per declared output. Implicit from what handlers have in hand.
class OpResults {
 public:
  OpResults() = default;
  // NOLINTNEXTLINE(google-explicit-constructor)
  OpResults(Output output) { outputs_.push_back({std::move(output)}); }
  // NOLINTNEXTLINE(google-explicit-constructor)
  OpResults(const ov::OutputVector& outputs) {
    for (const Output& output : outputs) outputs_.push_back({output});
  }
  OpResults(std::initializer_list<Output> outputs) {
    for (const Output& output : outputs) outputs_.push_back({output});
  }
  // A constant, a list or a state: taken as it is, neither converted nor rounded.
  // NOLINTNEXTLINE(google-explicit-constructor)
  OpResults(Value value) { outputs_.push_back({Output(), std::move(value)}); }

  struct Item {
    Output output;
    Value value = {};  // Used when not empty.
  };
  const std::vector<Item>& items() const { return outputs_; }
  void push_back(Value value) { outputs_.push_back({Output(), std::move(value)}); }
  void push_back(Output output) { outputs_.push_back({std::move(output)}); }

 private:
  std::vector<Item> outputs_;
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_CONTEXT_H_
