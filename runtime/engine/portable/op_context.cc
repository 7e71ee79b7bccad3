#include "runtime/engine/portable/op_context.h"

#include "runtime/engine/portable/environment.h"
#include "runtime/engine/portable/op_error.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

bool is_integer(model::ElementType type) {
  return type != model::ElementType::kString && type != model::ElementType::kInvalid &&
         !model::is_float(type);
}

}  // namespace

OpContext::OpContext(const model::Operation& operation, Environment& environment)
    : operation_(operation), environment_(environment) {}

Opset OpContext::opset() const { return environment_.scope().opset; }

NumericMode OpContext::numeric_mode() const { return environment_.scope().options->numeric_mode; }

std::string OpContext::describe() const {
  return type() + " -> " + label() + " (" + environment_.scope().function->opset + ")";
}

void OpContext::fail(std::string_view message) const {
  throw OpError(corrupt_data(std::string(message), describe()));
}

void OpContext::fail_unsupported(std::string_view message) const {
  throw OpError(unsupported(std::string(message), describe()));
}

const model::Argument* OpContext::find(std::string_view name, size_t index) const {
  auto it = operation_.inputs.find(std::string(name));
  if (it == operation_.inputs.end() || index >= it->second.size()) return nullptr;
  return &it->second[index];
}

bool OpContext::has(std::string_view name) const { return count(name) > 0; }

size_t OpContext::count(std::string_view name) const {
  const std::string key(name);
  if (auto it = operation_.inputs.find(key); it != operation_.inputs.end())
    return it->second.size();
  auto it = operation_.attributes.find(key);
  return it != operation_.attributes.end() && it->second != nullptr ? 1 : 0;
}

Value OpContext::value(std::string_view name, size_t index) const {
  if (const model::Argument* argument = find(name, index)) {
    if (argument->value != nullptr) return Value(argument->value);
    return environment_.lookup(argument->name);
  }
  if (index == 0 && has(name)) return Value(operation_.attributes.at(std::string(name)));
  fail("the argument \"" + std::string(name) + "\" is missing");
}

Output OpContext::input(std::string_view name, size_t index) const {
  return environment_.materialize(value(name, index), name);
}

std::optional<Output> OpContext::optional_input(std::string_view name) const {
  if (!has(name)) return std::nullopt;
  return input(name);
}

ov::OutputVector OpContext::inputs(std::string_view name) const {
  ov::OutputVector outputs;
  for (size_t i = 0; i < count(name); ++i) outputs.push_back(input(name, i));
  if (outputs.empty()) fail("the argument \"" + std::string(name) + "\" is missing");
  return outputs;
}

model::ElementType OpContext::element(std::string_view name, size_t index) const {
  return value(name, index).element();
}

bool OpContext::is_constant(std::string_view name, size_t index) const {
  return find_constant(name, index) != nullptr;
}

model::ConstantPtr OpContext::find_constant(std::string_view name, size_t index) const {
  if (!has(name)) return nullptr;
  Value known = value(name, index);
  if (model::ConstantPtr constant = known.constant()) return constant;
  const Output* output = known.output();
  if (output == nullptr) return nullptr;
  std::shared_ptr<ov::op::v0::Constant> folded = fold(*output);
  return folded == nullptr ? nullptr : program_constant(*folded);
}

model::ConstantPtr OpContext::constant(std::string_view name, size_t index) const {
  if (!has(name)) fail("the argument \"" + std::string(name) + "\" is missing");
  model::ConstantPtr found = find_constant(name, index);
  if (found == nullptr) {
    fail_unsupported("the argument \"" + std::string(name) +
                     "\" must be known when the program is compiled");
  }
  return found;
}

model::ConstantPtr OpContext::find_numeric_constant(std::string_view name, size_t index) const {
  model::ConstantPtr found = find_constant(name, index);
  if (found != nullptr && (found->type.kind != model::ValueType::Kind::kTensor ||
                           model::element_bits(found->type.element) == 0)) {
    fail("the argument \"" + std::string(name) + "\" must be a numeric tensor, but is " +
         found->type.to_string());
  }
  return found;
}

model::ConstantPtr OpContext::numeric_constant(std::string_view name, size_t index) const {
  model::ConstantPtr found = find_numeric_constant(name, index);
  return found != nullptr ? found : constant(name, index);  // Says why there is none.
}

bool OpContext::is_string(std::string_view name, size_t index) const {
  const model::ConstantPtr found = find_constant(name, index);
  return found != nullptr && found->type.kind == model::ValueType::Kind::kTensor &&
         found->type.element == model::ElementType::kString;
}

template <typename T, typename Read>
std::vector<T> OpContext::elements(std::string_view name, Read read) const {
  const model::ConstantPtr known = numeric_constant(name);
  const int64_t size = known->type.element_count();
  TranslationBudget::charge(static_cast<uint64_t>(size), sizeof(T));
  std::vector<T> values;
  values.reserve(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) values.push_back(static_cast<T>(read(*known, i)));
  return values;
}

std::vector<int64_t> OpContext::integers(std::string_view name) const {
  if (model::ConstantPtr known = numeric_constant(name); !is_integer(known->type.element)) {
    fail("the argument \"" + std::string(name) + "\" must be of an integer type, but is " +
         known->type.to_string());
  }
  return elements<int64_t>(name,
                           [](const model::Constant& c, int64_t i) { return c.integer_at(i); });
}

std::vector<int64_t> OpContext::integers(std::string_view name,
                                         std::vector<int64_t> default_value) const {
  return has(name) ? integers(name) : std::move(default_value);
}

std::vector<bool> OpContext::booleans(std::string_view name,
                                      std::vector<bool> default_value) const {
  if (!has(name)) return default_value;
  std::vector<bool> values;
  for (int64_t value : integers(name)) values.push_back(value != 0);
  return values;
}

std::vector<float> OpContext::reals(std::string_view name) const {
  return elements<float>(name, [](const model::Constant& c, int64_t i) { return c.real_at(i); });
}

std::vector<float> OpContext::reals(std::string_view name, std::vector<float> default_value) const {
  return has(name) ? reals(name) : std::move(default_value);
}

int64_t OpContext::integer(std::string_view name) const {
  const std::vector<int64_t> values = integers(name);
  if (values.size() != 1) fail("the argument \"" + std::string(name) + "\" must be a scalar");
  return values[0];
}

int64_t OpContext::integer(std::string_view name, int64_t default_value) const {
  return has(name) ? integer(name) : default_value;
}

float OpContext::real(std::string_view name) const {
  const std::vector<float> values = reals(name);
  if (values.size() != 1) fail("the argument \"" + std::string(name) + "\" must be a scalar");
  return values[0];
}

float OpContext::real(std::string_view name, float default_value) const {
  return has(name) ? real(name) : default_value;
}

bool OpContext::boolean(std::string_view name) const { return integer(name) != 0; }

bool OpContext::boolean(std::string_view name, bool default_value) const {
  return has(name) ? boolean(name) : default_value;
}

std::string OpContext::string(std::string_view name) const {
  model::ConstantPtr known = constant(name, 0);
  if (known->type.element != model::ElementType::kString || known->strings.size() != 1) {
    fail("the argument \"" + std::string(name) + "\" must be a string");
  }
  return known->strings[0];
}

std::string OpContext::string(std::string_view name, std::string_view default_value) const {
  return has(name) ? string(name) : std::string(default_value);
}

int64_t OpContext::normalize_axis(int64_t axis, int64_t rank, std::string_view name) const {
  if (axis < -rank || axis >= rank) {
    fail("\"" + std::string(name) + "\" is " + std::to_string(axis) +
         ", which is outside the rank " + std::to_string(rank));
  }
  return axis < 0 ? axis + rank : axis;
}

int64_t OpContext::axis(std::string_view name, int64_t rank,
                        std::optional<int64_t> default_value) const {
  const int64_t value = has(name) || !default_value ? integer(name) : *default_value;
  return normalize_axis(value, rank, name);
}

std::vector<int64_t> OpContext::axes(std::string_view name, int64_t rank,
                                     std::optional<std::vector<int64_t>> default_value) const {
  std::vector<int64_t> values =
      has(name) || !default_value ? integers(name) : *std::move(default_value);
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  for (int64_t& value : values) {
    value = normalize_axis(value, rank, name);
    if (seen[static_cast<size_t>(value)]) fail("\"" + std::string(name) + "\" names an axis twice");
    seen[static_cast<size_t>(value)] = true;
  }
  return values;
}

Output OpContext::index_input(std::string_view name) const {
  if (is_constant(name)) return i64(integers(name));
  Output value = to_i64(input(name));
  return rank(value) == 1 ? value : reshape(value, {-1});
}

const model::ValueType& OpContext::output_type(size_t index) const {
  if (index >= operation_.outputs.size())
    fail("the output " + std::to_string(index) + " is missing");
  return operation_.outputs[index].type;
}

ov::element::Type OpContext::output_element(size_t index) const {
  return runtime_type(output_type(index).element);
}

}  // namespace coreml_delegate::engine::portable
