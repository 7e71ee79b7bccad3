// reshape, transpose and the other operations that move elements without computing.

#include <algorithm>
#include <numeric>

#include "openvino/op/batch_to_space.hpp"
#include "openvino/op/concat.hpp"
#include "openvino/op/depth_to_space.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/multiply.hpp"
#include "openvino/op/pad.hpp"
#include "openvino/op/range.hpp"
#include "openvino/op/reduce_prod.hpp"
#include "openvino/op/reshape.hpp"
#include "openvino/op/reverse_sequence.hpp"
#include "openvino/op/slice.hpp"
#include "openvino/op/space_to_batch.hpp"
#include "openvino/op/space_to_depth.hpp"
#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {
namespace {

Output reshape_with_zeros(const Output& x, const Output& shape, bool zero_copies) {
  return make<ov::op::v1::Reshape>(x, shape, zero_copies);
}

// iOS 15: a 0 keeps the extent of the same index, and the ranks agree. From iOS 17 on a 0 keeps the
// extent of the same index counted from the end, or is 1 where x has none.
OpResults translate_reshape(OpContext& op) {
  const Output x = op.input("x");
  const int64_t x_rank = rank(x);
  if (!op.is_constant("shape")) {
    const model::ValueType& declared = op.output_type();
    const bool has_zero_extent = std::count(declared.shape.begin(), declared.shape.end(), 0) > 0;
    if (!declared.unknown_rank && declared.is_static() && !has_zero_extent)
      return reshape(x, declared.shape);
    const Output shape = op.index_input("shape");
    return reshape_with_zeros(x, shape, extent(shape, 0) == x_rank);
  }
  std::vector<int64_t> shape = op.integers("shape");
  op.require(std::count(shape.begin(), shape.end(), -1) <= 1, "\"shape\" has more than one -1");
  const int64_t size = static_cast<int64_t>(shape.size());
  bool has_zero = false;
  for (int64_t i = 0; i < size; ++i) {
    int64_t& target = shape[static_cast<size_t>(i)];
    op.require(target >= -1, "\"shape\" has an extent below -1");
    if (target != 0) continue;
    if (size == x_rank) {
      const int64_t known = extent(x, i);
      has_zero = has_zero || known <= 0;
      target = std::max<int64_t>(known, 0);
      continue;
    }
    op.require(op.opset() >= Opset::kCoreML7, "a 0 in \"shape\" needs a shape as long as x's");
    const int64_t j = x_rank - (size - i);
    if (j < 0) {
      target = 1;
    } else if (extent(x, j) >= 0) {
      target = extent(x, j);
    } else {
      // Extents known at run time only, at other places than in x: the shape is put together there.
      ov::OutputVector parts;
      for (int64_t k = 0; k < size; ++k) {
        const int64_t from = x_rank - (size - k);
        const int64_t wanted = op.integers("shape")[static_cast<size_t>(k)];
        parts.push_back(wanted != 0 ? i64({wanted}) : from < 0 ? i64({1}) : dimension_of(x, from));
      }
      return reshape(x, concat(parts, 0));
    }
  }
  if (has_zero) return reshape_with_zeros(x, i64(shape), true);
  return reshape(x, shape);
}

OpResults translate_reshape_like(OpContext& op) {
  const Output x = op.input("x");
  const size_t count = op.count("ref_tensors");
  op.require(count > 0 && op.count("begins") == count && op.count("ends") == count &&
                 op.count("end_masks") == count,
             "ref_tensors, begins, ends and end_masks must be equally long");
  auto integer_at = [&](const char* name, size_t i) {
    const model::ConstantPtr value = op.numeric_constant(name, i);
    op.require(!model::is_float(value->type.element) && value->type.element_count() == 1,
               "begins, ends and end_masks must be scalars");
    return value->integer_at(0);
  };
  ov::OutputVector parts;
  for (size_t i = 0; i < count; ++i) {
    const Output reference = op.input("ref_tensors", i);
    const int64_t reference_rank = rank(reference);
    auto bound = [&](int64_t value) {
      return std::clamp<int64_t>(value < 0 ? value + reference_rank : value, 0, reference_rank);
    };
    const int64_t begin = bound(integer_at("begins", i));
    const int64_t end =
        integer_at("end_masks", i) != 0 ? reference_rank : bound(integer_at("ends", i));
    for (int64_t axis = begin; axis < end; ++axis) parts.push_back(dimension_of(reference, axis));
  }
  if (parts.empty()) return reshape(x, std::vector<int64_t>{});
  const Output shape = concat(parts, 0);
  if (auto known = fold_integers(shape)) return reshape(x, *known);
  return reshape(x, shape);
}

OpResults translate_expand_dims(OpContext& op) {
  const Output x = op.input("x");
  const std::vector<int64_t> given = op.integers("axes");
  std::vector<int64_t> axes = op.axes("axes", rank(x) + static_cast<int64_t>(given.size()));
  std::sort(axes.begin(), axes.end());
  return unsqueeze(x, axes);
}

// As torch: an axis that is not 1 long stays.
OpResults translate_squeeze(OpContext& op) {
  const Output x = op.input("x");
  const int64_t x_rank = rank(x);
  std::vector<int64_t> every(static_cast<size_t>(x_rank));
  std::iota(every.begin(), every.end(), 0);
  std::vector<int64_t> known;
  std::vector<int64_t> unknown;
  for (int64_t axis : op.axes("axes", x_rank, every)) {
    if (extent(x, axis) == 1) known.push_back(axis);
    if (extent(x, axis) < 0) unknown.push_back(axis);
  }
  // Of the axes known at run time only, those go that the declared rank has no place for.
  const model::ValueType& declared = op.output_type();
  if (!declared.unknown_rank) {
    const int64_t missing =
        x_rank - static_cast<int64_t>(declared.shape.size()) - static_cast<int64_t>(known.size());
    for (int64_t i = 0; i < missing && i < static_cast<int64_t>(unknown.size()); ++i) {
      known.push_back(unknown[static_cast<size_t>(i)]);
    }
  }
  std::sort(known.begin(), known.end());
  return squeeze(x, known);
}

// The transposition of an x whose first extent is 1, without it: it is put where the permutation has
// it afterwards.
Output transpose_without_first(const Output& x, const std::vector<int64_t>& permutation) {
  std::vector<int64_t> rest;
  int64_t position = 0;
  for (size_t i = 0; i < permutation.size(); ++i) {
    if (permutation[i] == 0) {
      position = static_cast<int64_t>(i);
    } else {
      rest.push_back(permutation[i] - 1);
    }
  }
  return unsqueeze(transpose(squeeze(x, {0}), rest), {position});
}

OpResults translate_transpose(OpContext& op) {
  const Output x = op.input("x");
  const std::vector<int64_t> permutation = op.axes("perm", rank(x));
  op.require(static_cast<int64_t>(permutation.size()) == rank(x),
             "\"perm\" must name every axis of x");
  // OpenVINO 2026.4's ShuffleChannelsFusion throws at a reshape, transposition and reshape of
  // [1, unknown, ...], which is how torch splits the projections of an attention.
  if ((rank(x) == 4 || rank(x) == 5) && extent(x, 0) == 1 && extent(x, 1) < 0) {
    return transpose_without_first(x, permutation);
  }
  return transpose(x, permutation);
}

// The shape of x with one extent replaced, as a 1-D value.
Output shape_with(const Output& x, int64_t axis, const Output& replacement) {
  ov::OutputVector parts;
  for (int64_t i = 0; i < rank(x); ++i)
    parts.push_back(i == axis ? replacement : dimension_of(x, i));
  return concat(parts, 0);
}

OpResults translate_concat(OpContext& op) {
  ov::OutputVector values = op.inputs("values");
  // Rank 0 joins as rank 1.
  for (Output& value : values) {
    if (rank(value) == 0) value = reshape(value, {1});
  }
  const int64_t axis = op.axis("axis", rank(values[0]));
  if (!op.boolean("interleave", false)) return concat(values, axis);
  for (Output& value : values) {
    op.require(rank(value) == rank(values[0]), "the values have different ranks");
  }
  const Output length = make<ov::op::v1::Multiply>(dimension_of(values[0], axis),
                                                   i64({static_cast<int64_t>(values.size())}));
  const Output shape = shape_with(values[0], axis, length);
  for (Output& value : values) value = unsqueeze(value, {axis + 1});
  const Output joined = concat(values, axis + 1);
  if (auto known = fold_integers(shape)) return reshape(joined, *known);
  return reshape(joined, shape);
}

OpResults translate_stack(OpContext& op) {
  ov::OutputVector values = op.inputs("values");
  const int64_t axis = op.axis("axis", rank(values[0]) + 1);
  for (Output& value : values) value = unsqueeze(value, {axis});
  return concat(values, axis);
}

// x with every axis but those in `axes` as it is, and those backwards.
OpResults translate_reverse(OpContext& op) {
  const Output x = op.input("x");
  std::vector<int64_t> every(static_cast<size_t>(rank(x)));
  std::iota(every.begin(), every.end(), 0);
  const std::vector<int64_t> axes = op.axes("axes", rank(x), every);
  if (axes.empty()) return x;
  const std::vector<int64_t> last(axes.size(), -1);
  const std::vector<int64_t> before_first(axes.size(), -(int64_t{1} << 31));
  return make<ov::op::v8::Slice>(x, i64(last), i64(before_first), i64(last), i64(axes));
}

OpResults translate_reverse_sequence(OpContext& op) {
  const Output x = op.input("x");
  const int64_t batch_axis = op.axis("batch_axis", rank(x), 0);
  const int64_t sequence_axis = op.axis("seq_axis", rank(x), 0);
  const Output lengths = convert(op.input("lengths"), ov::element::i32);
  return make<ov::op::v0::ReverseSequence>(x, lengths, batch_axis, sequence_axis);
}

// Windows as a gather of [windows, size] indices.
OpResults translate_sliding_windows(OpContext& op) {
  const Output x = op.input("x");
  const int64_t axis = op.axis("axis", rank(x));
  const int64_t size = op.integer("size");
  const int64_t stride = op.integer("stride", 1);
  op.require(size > 0 && stride > 0, "\"size\" and \"stride\" must be positive");
  const int64_t length = extent(x, axis);
  op.require(length < 0 || size <= length, "\"size\" is larger than the axis");
  auto count_up = [](const Output& end, int64_t step) {
    return make<ov::op::v4::Range>(i64_scalar(0), end, i64_scalar(step), ov::element::i64);
  };
  const Output end = add(dimension_of(x, axis), i64({1 - size}));
  const Output starts = unsqueeze(count_up(squeeze(end, {0}), stride), {1});
  const Output offsets = count_up(i64_scalar(size), 1);
  Output indices = add(starts, offsets);
  if (auto known = fold(indices)) indices = known->output(0);
  return make<ov::op::v8::Gather>(x, indices, i64_scalar(axis));
}

OpResults translate_flatten2d(OpContext& op) {
  const Output x = op.input("x");
  const int64_t x_rank = rank(x);
  int64_t axis = op.integer("axis", 1);
  if (axis < 0) axis += x_rank;
  op.require(axis >= 0 && axis <= x_rank, "\"axis\" lies outside the rank");
  int64_t before = 1;
  int64_t after = 1;
  for (int64_t i = 0; i < x_rank; ++i) {
    int64_t& product = i < axis ? before : after;
    const int64_t length = extent(x, i);
    product = product < 0 || length < 0 ? -1 : product * length;
  }
  if (before >= 0 && after >= 0) return reshape(x, {before, after});
  if (before >= 0 || after >= 0) return reshape(x, std::vector<int64_t>{before, after});
  std::vector<int64_t> first(static_cast<size_t>(axis));
  std::iota(first.begin(), first.end(), 0);
  const Output rows = make<ov::op::v1::ReduceProd>(pick(shape_of(x), first), i64({0}), true);
  return reshape(x, concat({rows, i64({-1})}, 0));
}

OpResults translate_depth_to_space(OpContext& op) {
  const int64_t block = op.integer("block_size");
  op.require(block > 0, "\"block_size\" must be positive");
  return make<ov::op::v0::DepthToSpace>(op.input("x"),
                                        ov::op::v0::DepthToSpace::DepthToSpaceMode::BLOCKS_FIRST,
                                        static_cast<size_t>(block));
}

OpResults translate_pixel_shuffle(OpContext& op) {
  const int64_t factor = op.integer("upscale_factor");
  op.require(factor > 0, "\"upscale_factor\" must be positive");
  return make<ov::op::v0::DepthToSpace>(op.input("x"),
                                        ov::op::v0::DepthToSpace::DepthToSpaceMode::DEPTH_FIRST,
                                        static_cast<size_t>(factor));
}

OpResults translate_space_to_depth(OpContext& op) {
  const int64_t block = op.integer("block_size");
  op.require(block > 0, "\"block_size\" must be positive");
  return make<ov::op::v0::SpaceToDepth>(op.input("x"),
                                        ov::op::v0::SpaceToDepth::SpaceToDepthMode::BLOCKS_FIRST,
                                        static_cast<size_t>(block));
}

OpResults translate_pixel_unshuffle(OpContext& op) {
  const int64_t factor = op.integer("downscale_factor");
  op.require(factor > 0, "\"downscale_factor\" must be positive");
  return make<ov::op::v0::SpaceToDepth>(op.input("x"),
                                        ov::op::v0::SpaceToDepth::SpaceToDepthMode::DEPTH_FIRST,
                                        static_cast<size_t>(factor));
}

// The block shape and the [2, 2] margins of the two spatial axes, as OpenVINO wants them: for all
// four axes.
struct Blocks {
  Output shape;
  Output begin;
  Output end;
};

Blocks read_blocks(OpContext& op, std::string_view margins_name) {
  const std::vector<int64_t> block = op.integers("block_shape");
  const std::vector<int64_t> margins = op.integers(margins_name);
  op.require(block.size() == 2 && margins.size() == 4 && rank(op.input("x")) == 4,
             "x must have rank 4, \"block_shape\" 2 and the margins 2 by 2 elements");
  op.require(block[0] > 0 && block[1] > 0, "\"block_shape\" must be positive");
  op.require(*std::min_element(margins.begin(), margins.end()) >= 0,
             "the margins must not be negative");
  return {i64({1, 1, block[0], block[1]}), i64({0, 0, margins[0], margins[2]}),
          i64({0, 0, margins[1], margins[3]})};
}

OpResults translate_space_to_batch(OpContext& op) {
  const Blocks blocks = read_blocks(op, "paddings");
  // Padded by a node of its own: OpenVINO's SpaceToBatch gives elements in the place of padding
  // where an axis has one.
  const Output x = op.input("x");
  const Output padded = make<ov::op::v1::Pad>(x, blocks.begin, blocks.end, scalar_like(x, 0.0),
                                              ov::op::PadMode::CONSTANT);
  const Output none = i64(std::vector<int64_t>(static_cast<size_t>(rank(x)), 0));
  return make<ov::op::v1::SpaceToBatch>(padded, blocks.shape, none, none);
}

OpResults translate_batch_to_space(OpContext& op) {
  const Blocks blocks = read_blocks(op, "crops");
  return make<ov::op::v1::BatchToSpace>(op.input("x"), blocks.shape, blocks.begin, blocks.end);
}

}  // namespace

OpTable tensor_transformation_ops() {
  static constexpr OpEntry kOps[] = {
      {"batch_to_space", translate_batch_to_space, Rounding::kNone},
      {"concat", translate_concat, Rounding::kNone},
      {"depth_to_space", translate_depth_to_space, Rounding::kNone},
      {"expand_dims", translate_expand_dims, Rounding::kNone},
      {"flatten2d", translate_flatten2d, Rounding::kNone},
      {"pixel_shuffle", translate_pixel_shuffle, Rounding::kNone},
      {"pixel_unshuffle", translate_pixel_unshuffle, Rounding::kNone},
      {"reshape", translate_reshape, Rounding::kNone},
      {"reshape_like", translate_reshape_like, Rounding::kNone},
      {"reverse", translate_reverse, Rounding::kNone},
      {"reverse_sequence", translate_reverse_sequence, Rounding::kNone},
      {"sliding_windows", translate_sliding_windows, Rounding::kNone},
      {"space_to_batch", translate_space_to_batch, Rounding::kNone},
      {"space_to_depth", translate_space_to_depth, Rounding::kNone},
      {"squeeze", translate_squeeze, Rounding::kNone},
      {"stack", translate_stack, Rounding::kNone},
      {"transpose", translate_transpose, Rounding::kNone},
  };
  return kOps;
}

}  // namespace coreml_delegate::engine::portable
