#include "runtime/engine/portable/op_registry.h"

#include <map>

namespace coreml_delegate::engine::portable {
namespace {

const std::map<std::string_view, const OpEntry*>& all_ops() {
  static const auto* ops = [] {
    auto* map = new std::map<std::string_view, const OpEntry*>;
    for (OpTable table : {activation_ops(),
                          attention_ops(),
                          constexpr_ops(),
                          control_flow_ops(),
                          conv_ops(),
                          elementwise_binary_ops(),
                          elementwise_unary_ops(),
                          image_ops(),
                          linear_ops(),
                          list_ops(),
                          normalization_ops(),
                          pool_ops(),
                          random_ops(),
                          recurrent_ops(),
                          reduction_ops(),
                          scatter_gather_ops(),
                          slice_ops(),
                          state_ops(),
                          tensor_operation_ops(),
                          tensor_transformation_ops()}) {
      for (const OpEntry& entry : table) map->emplace(entry.type, &entry);
    }
    return map;
  }();
  return *ops;
}

}  // namespace

const OpEntry* find_op(std::string_view type) {
  auto it = all_ops().find(type);
  return it == all_ops().end() ? nullptr : it->second;
}

std::vector<std::string_view> supported_ops() {
  std::vector<std::string_view> names;
  for (const auto& [name, entry] : all_ops()) names.push_back(name);
  return names;
}

}  // namespace coreml_delegate::engine::portable
