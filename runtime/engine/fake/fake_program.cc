#include "runtime/engine/fake/fake_program.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace coreml_delegate::engine {
namespace {

constexpr DataType kDataTypes[] = {
    DataType::kBool,  DataType::kInt8,  DataType::kUInt8,   DataType::kInt16,   DataType::kUInt16,
    DataType::kInt32, DataType::kInt64, DataType::kFloat16, DataType::kFloat32, DataType::kFloat64,
};

std::string_view strip(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// Takes the first word of `text` away.
std::string_view next_word(std::string_view& text) {
  text = strip(text);
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text = strip(text.substr(end));
  return word;
}

std::optional<int64_t> parse_number(std::string_view text) {
  text = strip(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<Dimension> parse_dimension(std::string_view text) {
  const size_t dots = text.find("..");
  const std::optional<int64_t> min = parse_number(text.substr(0, dots));
  if (!min) return std::nullopt;
  if (dots == std::string_view::npos) return Dimension{*min, *min};
  const std::string_view upper = strip(text.substr(dots + 2));
  if (upper.empty()) return Dimension{*min, Dimension::kUnbounded};
  const std::optional<int64_t> max = parse_number(upper);
  if (!max || *max < *min) return std::nullopt;
  return Dimension{*min, *max};
}

// "x float32 [2, 3]", taken away from `text`.
std::optional<TensorSpec> parse_tensor(std::string_view& text) {
  TensorSpec spec;
  spec.name = next_word(text);
  const std::string_view dtype = next_word(text);
  for (const DataType candidate : kDataTypes) {
    if (data_type_name(candidate) == dtype) spec.dtype = candidate;
  }
  const size_t close = text.find(']');
  if (spec.name.empty() || spec.dtype == DataType::kInvalid || !text.starts_with('[') ||
      close == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view shape = strip(text.substr(1, close - 1));
  text = strip(text.substr(close + 1));
  while (!shape.empty()) {
    const size_t comma = shape.find(',');
    const std::optional<Dimension> dimension = parse_dimension(shape.substr(0, comma));
    if (!dimension) return std::nullopt;
    spec.shape.push_back(*dimension);
    if (comma == std::string_view::npos) break;
    shape = shape.substr(comma + 1);
  }
  return spec;
}

const TensorSpec* find_spec(const std::vector<TensorSpec>& specs, std::string_view name) {
  for (const TensorSpec& spec : specs) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

// Why the output cannot be computed, or null.
const char* check_output(const FakeFunction& function, const FakeOutput& output) {
  const auto input = [&](size_t i) { return find_spec(function.inputs, output.operands[i]); };
  const size_t count = output.operands.size();
  switch (output.operation) {
    case FakeOperation::kIdentity:
      if (count != 1 || !input(0)) return "identity takes an input";
      if (input(0)->dtype != output.spec.dtype) return "identity keeps the dtype";
      return nullptr;
    case FakeOperation::kAdd:
      if (count != 2 || !input(0) || !input(1)) return "add takes two inputs";
      return nullptr;
    case FakeOperation::kAccumulate:
      if (count != 2 || !find_spec(function.states, output.operands[0]) || !input(1)) {
        return "accumulate takes a state and an input";
      }
      return nullptr;
    case FakeOperation::kNonzero:
      if (count != 1 || !input(0)) return "nonzero takes an input";
      if (output.spec.shape.size() != 1) return "nonzero gives a tensor of rank 1";
      return nullptr;
    case FakeOperation::kWeight:
      if (count != 1) return "weight takes a path";
      if (!output.spec.is_static()) return "weight has a fixed shape";
      return nullptr;
  }
  return "unknown operation";
}

}  // namespace

Result<std::vector<FakeFunction>> parse_fake_program(std::string_view text) {
  std::vector<FakeFunction> functions;
  size_t line_number = 0;
  const auto failure = [&](std::string reason) {
    return corrupt_data("line " + std::to_string(line_number) + ": " + std::move(reason),
                        std::string(kFakeProgramFile));
  };
  while (!text.empty()) {
    ++line_number;
    const size_t newline = std::min(text.find('\n'), text.size());
    std::string_view line = strip(text.substr(0, newline));
    text.remove_prefix(std::min(newline + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    const std::string_view keyword = next_word(line);
    if (keyword == "function") {
      if (line.empty()) return failure("a function needs a name");
      functions.push_back({.name = std::string(line)});
      continue;
    }
    if (functions.empty()) return failure("the first line must name a function");
    FakeFunction& function = functions.back();
    std::optional<TensorSpec> spec = parse_tensor(line);
    if (!spec) return failure("expected NAME DTYPE [SHAPE]");
    if (keyword == "input" && line.empty()) {
      function.inputs.push_back(*std::move(spec));
    } else if (keyword == "state" && line.empty()) {
      if (!spec->is_static()) return failure("a state has a fixed shape");
      function.states.push_back(*std::move(spec));
    } else if (keyword == "output" && next_word(line) == "=") {
      FakeOutput output{.spec = *std::move(spec)};
      const std::string_view operation = next_word(line);
      constexpr std::pair<std::string_view, FakeOperation> kOperations[] = {
          {"identity", FakeOperation::kIdentity},     {"add", FakeOperation::kAdd},
          {"accumulate", FakeOperation::kAccumulate}, {"nonzero", FakeOperation::kNonzero},
          {"weight", FakeOperation::kWeight},
      };
      const auto* known = std::find_if(std::begin(kOperations), std::end(kOperations),
                                       [&](const auto& entry) { return entry.first == operation; });
      if (known == std::end(kOperations))
        return failure("unknown operation " + std::string(operation));
      output.operation = known->second;
      while (!line.empty()) output.operands.emplace_back(next_word(line));
      if (const char* reason = check_output(function, output)) return failure(reason);
      function.outputs.push_back(std::move(output));
    } else {
      return failure("expected function, input, state or output NAME DTYPE [SHAPE] = OPERATION");
    }
  }
  if (functions.empty()) return corrupt_data("no function", std::string(kFakeProgramFile));
  return functions;
}

}  // namespace coreml_delegate::engine
