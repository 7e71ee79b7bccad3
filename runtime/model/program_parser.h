#ifndef COREML_DELEGATE_RUNTIME_MODEL_PROGRAM_PARSER_H_
#define COREML_DELEGATE_RUNTIME_MODEL_PROGRAM_PARSER_H_

// Functions and blocks of an ML Program, from mil.h to program.h. Internal to runtime/model.

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "runtime/model/mil.h"
#include "runtime/model/package.h"
#include "runtime/model/program.h"
#include "runtime/model/value_parser.h"

namespace coreml_delegate::model {

// The block of the function's opset; corrupt_data when there is none.
Result<const mil::Block*> find_specialization(const mil::Function& function);

// Inputs of a function or block; names are non-empty and different.
Result<std::vector<NamedType>> parse_named_types(const std::vector<mil::NamedValueType>& types);

// The declared types of the block's outputs, by name, without looking at anything else: defined by
// its inputs or its operations.
Result<std::unordered_map<std::string, ValueType>> output_types(
    const std::vector<NamedType>& inputs, const mil::Block& block);

// Parses the operations of a function's body and of the blocks nested in it. One use per function.
class BlockParser {
 public:
  BlockParser(ValueParser& values, const Limits& limits) : values_(values), limits_(limits) {}

  // `inputs`: the function's, visible in the body.
  Result<Block> parse_body(const mil::Block& block, const std::vector<NamedType>& inputs);

 private:
  Result<Block> parse_block(const mil::Block& block, int depth);
  Result<Operation> parse_operation(const mil::Operation& operation, int depth);
  Result<Argument> parse_binding(const mil::Binding& binding);
  Status define(const std::string& name);

  ValueParser& values_;
  const Limits& limits_;
  uint64_t operations_ = 0;
  // Names visible now, and in order of definition, so that a block's end can take its own away.
  std::unordered_set<std::string_view> visible_;
  std::vector<std::string_view> scope_;
};

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_PROGRAM_PARSER_H_
