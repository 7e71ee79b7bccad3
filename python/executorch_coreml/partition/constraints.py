"""Which calls Core ML does not take: rules of the kind Constraint (compiler/op_rules.py).

Each row names ops, a predicate that says which calls of them are not taken (predicates.py), the reason in words, where the reason is known from,
and the coremltools version from which on the row no longer applies. `violated(view)` returns the first row that a call breaks.

A row is needed where coremltools has a converter that fails, or whose numbers are not torch's. An op for which coremltools has no
converter needs no row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import coremltools as ct
import torch

from executorch_coreml.compiler import op_rules
from executorch_coreml.partition import predicates
from executorch_coreml.partition.node_view import NodeView

CT = "https://github.com/apple/coremltools/issues/"
ET = "https://github.com/pytorch/executorch/issues/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraint(op_rules.Rule):
    """A kind of call that stays outside.

    ops: `aten.add.Tensor`, or `aten.add` for every overload, or `*` for every op. code: a stable name for programs to compare. violated:
    whether a call is not taken. reason: completes the sentence "not taken because ...".
    """

    code: str
    violated: Callable[[NodeView], bool]

    def is_about(self, op: str) -> bool:
        """Whether the row is about an op, given as `namespace.name.overload`."""
        return any(name in ("*", op) or name == op.rpartition(".")[0] for name in self.ops)


# Functions of which torch takes integers, and returns integers; MIL takes floats only.
_FLOAT_FUNCTIONS = tuple(f"aten.{name}" for name in ("ceil", "floor", "frac", "relu", "round", "trunc"))

op_rules.add(
    # What holds for every op.
    Constraint(
        code="dtype",
        ops=("*",),
        violated=predicates.has_other_dtype,
        reason="Core ML has tensors of bool, int32, float16 and float32 only; a tensor of another dtype would be converted to one of these",
        reference=ET + "11686",
    ),
    Constraint(
        code="rank",
        ops=("*",),
        violated=predicates.has_rank_above_five,
        reason="Core ML's tensors have at most 5 dimensions",
        reference=ET + "11694",
    ),
    Constraint(
        code="data_dependent_shape",
        ops=("*",),
        violated=predicates.is_data_dependent,
        reason="the shape of the result depends on the data",
        reference=ET + "17537",
    ),
    Constraint(
        code="memory_format",
        ops=("*",),
        violated=predicates.is_not_contiguous,
        reason="Core ML's tensors are contiguous, so it cannot take channels_last or another order of dimensions",
    ),
    Constraint(
        code="memory_format_argument",
        ops=(
            "dim_order_ops._to_dim_order_copy",
            "dim_order_ops._clone_dim_order",
            "dim_order_ops._empty_dim_order",
            "aten.clone",
            "aten._to_copy",
        ),
        violated=predicates.asks_for_other_memory_format,
        reason="Core ML's tensors are contiguous, so it cannot take channels_last or another order of dimensions",
    ),
    Constraint(
        code="empty_tensor",
        ops=("*",),
        violated=predicates.is_empty,
        reason="Core ML's tensors have at least one element",
    ),
    # Calls that coremltools cannot convert.
    Constraint(
        code="not_implemented",
        ops=("aten.acosh", "aten.asinh"),
        violated=predicates.always,
        reason="coremltools has no conversion that works",
        reference=CT + "2569",
    ),
    Constraint(
        code="not_implemented",
        ops=("aten.rand.default",),
        violated=predicates.always,
        reason="coremltools' conversion reads arguments that the op does not have",
        reference=ET + "11722",
    ),
    Constraint(
        code="threshold",
        ops=("aten.softplus",),
        violated=predicates.argument_is_not("threshold", None, 20, 20.0),
        reason="Core ML's softplus has no threshold; torch's default is where float32 sees no difference",
    ),
    Constraint(
        code="bool_elements",
        ops=("aten.gather", "aten.masked_fill"),
        violated=lambda view: view.inputs[0].dtype == torch.bool,
        reason="Core ML can gather and fill numbers, but not bools",
    ),
    Constraint(
        code="order_of_bools",
        ops=(
            *("aten.minimum", "aten.maximum", "aten.amin", "aten.amax", "aten.min", "aten.max"),
            *("aten.lt", "aten.le", "aten.gt", "aten.ge"),
        ),
        violated=lambda view: any(tensor.dtype == torch.bool for tensor in view.inputs),
        reason="Core ML can order numbers, but not bools",
    ),
    Constraint(
        code="flattened_argument",
        ops=("aten.argmax", "aten.argmin"),
        violated=lambda view: view.argument("dim") is None,
        reason="Core ML sometimes crashes when it reduces the flattened input (dim=None)",
        reference=ET + "11715",
    ),
    Constraint(
        code="divisor_override",
        ops=("aten.avg_pool1d", "aten.avg_pool2d", "aten.avg_pool3d"),
        violated=predicates.argument_is_not("divisor_override", None),
        reason="Core ML's average pooling has no divisor_override",
        reference=ET + "11695",
    ),
    Constraint(
        code="pool_dilation",
        ops=(
            "aten.max_pool1d",
            "aten.max_pool2d",
            "aten.max_pool3d",
            "aten.max_pool1d_with_indices",
            "aten.max_pool2d_with_indices",
            "aten.max_pool3d_with_indices",
        ),
        violated=predicates.is_dilated,
        reason="Core ML's max pooling has no dilation",
        reference=ET + "11697",
    ),
    Constraint(
        code="pool_indices",
        ops=("aten.max_pool1d_with_indices", "aten.max_pool2d_with_indices", "aten.max_pool3d_with_indices"),
        violated=lambda view: view.is_used(1),
        reason="Core ML's max pooling does not return indices",
    ),
    Constraint(
        code="statistics",
        ops=(
            *("aten.native_layer_norm", "aten.native_group_norm", "aten.native_batch_norm", "aten._native_batch_norm_legit"),
            *("aten._native_batch_norm_legit_no_training", "aten._native_batch_norm_legit_functional"),
        ),
        violated=lambda view: view.is_used(1) or view.is_used(2),
        reason="Core ML's normalizations do not return the mean and the deviation",
    ),
    Constraint(
        code="pool_indices",
        ops=("aten.adaptive_max_pool1d", "aten.adaptive_max_pool2d", "aten.adaptive_max_pool3d"),
        violated=lambda view: view.is_used(1),
        reason="Core ML's max pooling does not return indices",
    ),
    Constraint(
        code="pool_ceil_3d",
        ops=("aten.avg_pool3d",),
        violated=lambda view: bool(view.argument("ceil_mode")) and bool(view.argument("count_include_pad")),
        reason="Core ML's average pooling of volumes cannot combine ceil_mode with count_include_pad",
    ),
    Constraint(
        code="output_padding",
        ops=("aten.convolution", "aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d"),
        violated=predicates.pads_output_beyond_padding,
        reason="coremltools converts output_padding only where padding is at least as large",
    ),
    Constraint(
        code="boolean_index",
        ops=("aten.index", "aten.index_put", "aten.masked_select", "aten.nonzero"),
        violated=predicates.has_boolean_index,
        reason="the shape of the result depends on the data",
    ),
    Constraint(
        code="index_put_broadcast",
        ops=("aten.index_put",),
        violated=predicates.has_indices_of_several_shapes,
        reason="coremltools does not broadcast the indices of index_put against each other",
    ),
    Constraint(
        code="index_put_after_whole_dimension",
        ops=("aten.index_put",),
        violated=predicates.puts_behind_whole_dimension,
        reason="an index of several elements can be converted only if it is in a leading dimension, or is a single vector of known length",
    ),
    Constraint(
        code="missing_arguments",
        ops=("aten.mse_loss", "aten.nll_loss_nd", "aten.hann_window", "aten.cosine_embedding_loss"),
        violated=lambda view: len(view.node.args) < len(view.arguments),
        reason="coremltools needs every argument of this op, and torch.export leaves out those that have their default value",
    ),
    Constraint(
        code="unbatched",
        ops=(
            "aten.max_pool1d",
            "aten.max_pool2d",
            "aten.max_pool3d",
            "aten.avg_pool1d",
            "aten.avg_pool2d",
            "aten.avg_pool3d",
            "aten.max_pool1d_with_indices",
            "aten.max_pool2d_with_indices",
            "aten.max_pool3d_with_indices",
        ),
        violated=predicates.pools_unbatched,
        reason="Core ML's pooling needs an input with a batch dimension",
    ),
    Constraint(
        code="unbatched",
        ops=(
            *("aten.convolution", "aten.conv1d", "aten.conv2d", "aten.conv3d"),
            *("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d"),
        ),
        violated=predicates.convolves_unbatched,
        reason="Core ML's convolution needs an input with a batch dimension",
    ),
    Constraint(
        code="loss_options",
        ops=("aten.nll_loss_nd",),
        violated=predicates.is_more_than_plain_nll,
        reason="coremltools takes the last dimension for the classes, and ignores weight and ignore_index",
    ),
    Constraint(
        code="scalar_dimension",
        ops=("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax", "aten.flip", "aten.argsort"),
        violated=lambda view: any(tensor.dim() == 0 for tensor in view.inputs[:1]),
        reason="Core ML's operation works along a dimension, and a scalar has none",
    ),
    Constraint(
        code="circular_padding",
        ops=("aten.pad",),
        violated=lambda view: view.argument("mode") not in (None, "constant", "reflect", "replicate"),
        reason="Core ML has no circular padding",
    ),
    Constraint(
        code="pixel_unshuffle_target",
        ops=("aten.pixel_unshuffle",),
        violated=predicates.targets_below(ct.target.iOS16),
        reason="pixel_unshuffle needs minimum_deployment_target iOS16 or newer",
    ),
    Constraint(
        code="fold_overlap",
        ops=("aten.col2im",),
        violated=lambda view: any(s < k for s, k in zip(view.argument("stride"), view.argument("kernel_size"), strict=True)),
        reason="coremltools can fold blocks only if they do not overlap",
    ),
    Constraint(
        code="grouped_attention",
        ops=("aten.scaled_dot_product_attention",),
        violated=predicates.argument_is_not("enable_gqa", False, None),
        reason="coremltools ignores enable_gqa",
    ),
    Constraint(
        code="matmul_vector",
        ops=("aten.matmul",),
        violated=lambda view: any(tensor.dim() < 2 for tensor in view.inputs),
        reason="coremltools multiplies matrices, but not vectors",
    ),
    Constraint(
        code="negative_padding",
        ops=("aten.constant_pad_nd", "aten.pad"),
        violated=predicates.pads_by_other_amounts,
        reason="Core ML pads by constant amounts only, and by negative ones only where it pads with a constant value",
    ),
    Constraint(
        code="bitwise_integers",
        ops=("aten.bitwise_and", "aten.bitwise_or", "aten.bitwise_xor", "aten.bitwise_not"),
        violated=lambda view: any(tensor.dtype != torch.bool for tensor in view.inputs),
        reason="Core ML has no bitwise operations on integers",
    ),
    Constraint(
        code="integer_matmul",
        ops=("aten.mm", "aten.bmm", "aten.matmul", "aten.addmm", "aten.baddbmm", "aten.linear", "aten.dot", "aten.mv"),
        violated=predicates.output_is_integer,
        reason="coremltools computes integer products in float16",
        reference=CT + "2673",
    ),
    Constraint(
        code="integer_argument",
        ops=_FLOAT_FUNCTIONS,
        violated=predicates.any_input_is_integer,
        reason="Core ML computes this function for floats only, and coremltools does not convert the integers",
    ),
    # Calls that coremltools converts to other numbers than torch's.
    Constraint(
        code="diagonal",
        ops=("aten.diagonal", "aten.diagonal_copy"),
        violated=predicates.is_dynamic,
        reason="the diagonal is gathered at constant indices, so the shape must be fixed",
        reference=CT + "2682",
    ),
    Constraint(
        code="triangle_of_infinity",
        ops=("aten.tril", "aten.triu"),
        violated=predicates.output_is_float,
        reason="coremltools multiplies by a mask, which turns infinity into NaN",
        reference=CT + "2771",
    ),
    Constraint(
        code="roll_dynamic",
        ops=("aten.roll",),
        violated=predicates.is_dynamic,
        reason="coremltools rolls a dynamic dimension with range_1d and mod, which devices compute wrongly",
        reference=CT + "2838",
    ),
    Constraint(
        code="randint",
        ops=("aten.randint", "aten.randint_like"),
        violated=predicates.always,
        reason="coremltools also draws the upper bound, which torch excludes",
        reference=CT + "2714",
    ),
    Constraint(
        code="gru_target",
        ops=("aten.gru",),
        violated=predicates.is_short_gru_below_ios18,
        reason="Core ML's gru agrees with torch's only from minimum_deployment_target iOS18 on; for older targets the steps are unrolled instead",
    ),
    Constraint(
        code="packed_sequence",
        ops=("aten.gru.data", "aten.lstm.data"),
        violated=predicates.always,
        reason="Core ML has no packed sequences",
    ),
    Constraint(
        code="recurrent_weights",
        ops=("aten.gru", "aten.lstm"),
        violated=predicates.has_computed_weights,
        reason="the weights of a recurrent layer must be constants",
    ),
    Constraint(
        code="quantized_weights_target",
        ops=("quantized_decomposed.dequantize_per_channel", "quantized_decomposed.dequantize_per_tensor"),
        violated=predicates.targets_below(ct.target.iOS17),
        reason="quantized values need minimum_deployment_target iOS17 or newer",
    ),
)


def constraints_of(op: str) -> list[Constraint]:
    """The rows that are about an op, in the table's order."""
    return [constraint for constraint in op_rules.rules_of(Constraint) if constraint.is_about(op)]


def violated(view: NodeView) -> Constraint | None:
    """The first row that a call breaks, or None."""
    return next(
        (constraint for constraint in constraints_of(view.op) if constraint.is_in_force and constraint.violated(view)),
        None,
    )
