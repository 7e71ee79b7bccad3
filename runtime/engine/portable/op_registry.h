#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_REGISTRY_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_REGISTRY_H_

// Which handler translates which MIL operation. Each family has one file, ops_<family>.cc, with a
// function that returns its table; find_op() looks through all of them. Nothing registers itself at
// start-up.

#include <span>
#include <string_view>
#include <vector>

#include "runtime/engine/portable/op_context.h"

namespace coreml_delegate::engine::portable {

using OpHandler = OpResults (*)(OpContext&);

// Whether results of float16 type are rounded in NumericMode::kFloat16.
enum class Rounding {
  kRound,  // The operation computes.
  kNone,   // The result's elements are elements of float16 arguments (or zero, one): reshape,
           // gather, max_pool.
};

struct OpEntry {
  std::string_view type;
  OpHandler handler = nullptr;
  Rounding rounding = Rounding::kRound;
};

using OpTable = std::span<const OpEntry>;

// One per file. An operation appears in exactly one table.
OpTable activation_ops();
OpTable attention_ops();
OpTable constexpr_ops();
OpTable control_flow_ops();
OpTable conv_ops();
OpTable elementwise_binary_ops();
OpTable elementwise_unary_ops();
OpTable image_ops();
OpTable linear_ops();
OpTable list_ops();
OpTable normalization_ops();
OpTable pool_ops();
OpTable random_ops();
OpTable recurrent_ops();
OpTable reduction_ops();
OpTable scatter_gather_ops();
OpTable slice_ops();
OpTable state_ops();
OpTable tensor_operation_ops();
OpTable tensor_transformation_ops();

// Null when no table has it.
const OpEntry* find_op(std::string_view type);
// Every type there is a handler for, sorted.
std::vector<std::string_view> supported_ops();

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OP_REGISTRY_H_
