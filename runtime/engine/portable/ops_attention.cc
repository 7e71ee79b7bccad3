// scaled_dot_product_attention (iOS 18).

#include <string>

#include "openvino/op/scaled_dot_product_attention.hpp"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/graph_extra.h"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

// softmax(query key^T / sqrt(E) + mask) value; a boolean mask is 0 where true and minus infinity
// where false.
OpResults translate_scaled_dot_product_attention(OpContext& op) {
  Output query = op.input("query");
  const Output key = op.input("key"), value = op.input("value");
  const int64_t query_rank = rank(query);
  op.require(query_rank >= 3, "query needs rank 3 or more");
  op.require(rank(key) == query_rank && rank(value) == query_rank,
             "query, key and value need the same rank");
  query = unless_empty(key, {-2}, query);
  if (!op.has("attn_mask")) {
    return make<ov::op::v13::ScaledDotProductAttention>(query, key, value, /*causal=*/false);
  }
  Output mask = op.input("attn_mask");
  const int64_t mask_rank = rank(mask);
  op.require(mask_rank <= query_rank, "attn_mask has a higher rank than query");
  // OpenVINO wants both [L, S] axes.
  if (mask_rank == 0) mask = unsqueeze(mask, {0, 1});
  if (mask_rank == 1) mask = unsqueeze(mask, {0});
  if (mask.get_element_type() != ov::element::boolean)
    mask = convert(mask, query.get_element_type());
  return make<ov::op::v13::ScaledDotProductAttention>(query, key, value, mask, /*causal=*/false);
}

}  // namespace

OpTable attention_ops() {
  static constexpr OpEntry kOps[] = {
      {"scaled_dot_product_attention", translate_scaled_dot_product_attention},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
