#include "runtime/engine/portable/shared_constants.h"

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "openvino/op/constant.hpp"
#include "runtime/engine/portable/value.h"

namespace coreml_delegate::engine::portable {
namespace {

// Beyond this what is copied counts for more than the node.
constexpr size_t kMostBytes = 256;

}  // namespace

void share_small_constants(const std::shared_ptr<ov::Model>& model) {
  // By type, shape and bytes.
  std::map<std::tuple<std::string, ov::Shape, std::string>, Output> first;
  for (const std::shared_ptr<ov::Node>& node : model->get_ordered_ops()) {
    const auto* const constant = dynamic_cast<const ov::op::v0::Constant*>(node.get());
    // Strings are not in their bytes; what a pass has marked means that one node.
    if (constant == nullptr || constant->get_element_type() == ov::element::string ||
        constant->get_byte_size() > kMostBytes || !constant->get_rt_info().empty())
      continue;
    std::string bytes(static_cast<const char*>(constant->get_data_ptr()),
                      constant->get_byte_size());
    const auto [equal, is_new] = first.try_emplace(
        {constant->get_element_type().to_string(), constant->get_shape(), std::move(bytes)},
        node->output(0));
    if (!is_new) node->output(0).replace(equal->second);
  }
}

}  // namespace coreml_delegate::engine::portable
