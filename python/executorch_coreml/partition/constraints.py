"""What Core ML takes, as data.

`CONSTRAINTS` is a table: each row names the ops it is about, says when a call of one is not taken, why in words, where that is known from,
and from which coremltools version on the row steps aside. `violated(view)` returns the first row that a call breaks.

A row is needed where coremltools registers a converter, and conversion fails or gives numbers other than torch's. An op that
coremltools does not know at all needs no row.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import coremltools as ct
import torch

from executorch_coreml.compiler import corrections_complex, high_rank
from executorch_coreml.compiler.correction_table import is_fixed
from executorch_coreml.compiler.node_conversion import kind_of
from executorch_coreml.partition.node_view import NodeView, has_other_dim_order, tensors

CT = "https://github.com/apple/coremltools/issues/"
ET = "https://github.com/pytorch/executorch/issues/"

# Namespaces whose ops are about low-precision values.
_QUANTIZATION = ("quantized_decomposed.", "torchao.", "quant.")

_TAKEN_DTYPES = frozenset({torch.bool, torch.int32, torch.int64, torch.float16, torch.float32})
_INTEGERS = frozenset({torch.bool, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraint:
    """One row.

    code: machine-readable, stable. ops: `aten.add.Tensor`, or `aten.add` for every overload, or `*` for every op. violated: whether a call
    is not taken. reason: completes "not taken because ...". reference: where that is known from. fixed_in: the coremltools version from
    which on the row steps aside; None while none is known.
    """

    code: str
    ops: tuple[str, ...]
    violated: Callable[[NodeView], bool]
    reason: str
    reference: str = ""
    fixed_in: str | None = None

    def is_about(self, op: str) -> bool:
        """Whether the row is about an op, given as `namespace.name.overload`."""
        return any(name in ("*", op) or name == op.rpartition(".")[0] for name in self.ops)


def always(view: NodeView) -> bool:
    return True


def argument_is_not(name: str, *accepted: Any) -> Callable[[NodeView], bool]:
    """Whether a constant argument has another value than these."""
    return lambda view: view.argument(name) not in accepted


def _is_integer(tensor: torch.Tensor | None) -> bool:
    return tensor is not None and tensor.dtype in _INTEGERS


def any_input_is_integer(view: NodeView) -> bool:
    return any(_is_integer(tensor) for tensor in view.inputs)


def output_is_integer(view: NodeView) -> bool:
    return any(_is_integer(tensor) for tensor in view.outputs)


def output_is_float(view: NodeView) -> bool:
    return any(tensor.is_floating_point() for tensor in view.outputs)


def is_dynamic(view: NodeView) -> bool:
    return any(not isinstance(e, int) for t in (*view.inputs, *view.outputs) for e in t.shape)


def is_quantization(op: str) -> bool:
    return op.startswith(_QUANTIZATION)


def _other_dtype(view: NodeView) -> bool:
    if is_quantization(view.op):
        return False
    # Complex numbers are pairs inside a partition, none of which is a constant.
    constant = (tensor for node in view.node.all_input_nodes if view.is_constant(node) for tensor in tensors(node.meta.get("val")))
    if any(tensor.is_complex() for tensor in constant) or any(isinstance(argument, complex) for argument in view.node.args):
        return True
    kind = kind_of(view.node.target)
    return any(
        tensor.dtype not in _TAKEN_DTYPES and not corrections_complex.takes(kind, tensor.dtype)
        for tensor in (*view.computed_inputs, *view.outputs)
    )


def _rank_above_five(view: NodeView) -> bool:
    if all(tensor.dim() <= high_rank.MAXIMUM_RANK for tensor in (*view.inputs, *view.outputs)):
        return False
    return not high_rank.takes(view.node)


def _not_contiguous(view: NodeView) -> bool:
    return view.orders_matter and any(has_other_dim_order(tensor) for tensor in (*view.computed_inputs, *view.outputs))


def _other_memory_format(view: NodeView) -> bool:
    order, format_ = view.argument("dim_order"), view.argument("memory_format")
    if order is not None and list(order) != list(range(len(order))):
        return True
    return format_ not in (None, torch.contiguous_format, torch.preserve_format)


def _is_empty(view: NodeView) -> bool:
    return any(isinstance(e, int) and e == 0 for t in (*view.inputs, *view.outputs) for e in t.shape)


def _is_data_dependent(view: NodeView) -> bool:
    """Whether a number or an extent, read or computed, is known only from the data."""
    values = [node.meta.get("val") for node in (view.node, *view.node.all_input_nodes)]
    extents = [extent for value in values for tensor in tensors(value) for extent in tensor.shape]
    return any(
        not isinstance(number, (int, float)) and re.search(r"\bz?u\d+\b", str(number))
        for number in (*extents, *(v for v in values if isinstance(v, (torch.SymInt, torch.SymBool, torch.SymFloat))))
    )


def _dilated(view: NodeView) -> bool:
    dilation = view.argument("dilation")
    return any(d != 1 for d in (dilation if isinstance(dilation, (list, tuple)) else [dilation]) if d is not None)


def _boolean_index(view: NodeView) -> bool:
    indices = view.argument("indices") or ()
    return any(isinstance(index, torch.fx.Node) and index.meta["val"].dtype in (torch.bool, torch.uint8) for index in indices)


def _index_put_after_whole_dimension(view: NodeView) -> bool:
    """An index of several elements behind a dimension that is taken whole; one vector of known length is converted (corrections)."""
    indices = list(view.argument("indices") or ())
    positions = [i for i, index in enumerate(indices) if isinstance(index, torch.fx.Node)]
    if not positions or (positions[0] == 0 and positions == list(range(len(positions)))):
        return False
    x, first = view.tensor("self"), indices[positions[0]].meta["val"]
    static = all(isinstance(extent, int) for tensor in (x, first) if tensor is not None for extent in tensor.shape)
    if (
        len(positions) == 1
        and first.ndim == 1
        and static
        and x is not None
        and x.dtype != torch.bool
        and not view.argument("accumulate")
    ):
        return False
    return any(indices[i].meta["val"].numel() != 1 for i in positions)


def _indices_of_several_shapes(view: NodeView) -> bool:
    indices = [index.meta["val"] for index in view.argument("indices") or () if isinstance(index, torch.fx.Node)]
    return len({tuple(index.shape) for index in indices}) > 1


def _unbatched(view: NodeView) -> bool:
    x = view.tensor("self")
    spatial = next((int(digit) for digit in view.op if digit in "123"), 0)
    return x is not None and x.dim() != spatial + 2


def _convolves_unbatched(view: NodeView) -> bool:
    x, weight = view.tensor("input"), view.tensor("weight")
    return x is None or weight is None or x.dim() != weight.dim()


def _pads_by_what_core_ml_has_not(view: NodeView) -> bool:
    """Whether the amounts are computed; or cut something off and do not pad with a constant."""
    pads = view.argument("pad") or ()
    if not all(isinstance(amount, int) for amount in pads):
        return True
    return min(pads, default=0) < 0 and view.argument("mode") not in (None, "constant")


def _pads_output_only(view: NodeView) -> bool:
    """Whether a transposed convolution pads its output by more than it cuts off."""

    def extents(name: str) -> list[int]:
        value = view.argument(name)
        return list(value) if isinstance(value, (list, tuple)) else [int(value or 0)]

    output, cut = extents("output_padding"), extents("padding")
    return any(output) and not all(o <= c for o, c in zip(output, cut * len(output) if len(cut) == 1 else cut, strict=False))


# Steps up to which a GRU is unrolled below iOS 18: about ten MIL operations each. Longer ones become a loop, which converts at any length.
_UNROLLED_STEPS = 64


def _short_gru_without_reset_after(view: NodeView) -> bool:
    if view.options.targets(ct.target.iOS18):
        return False
    x = view.tensor("input")
    steps = x.shape[1 if view.argument("batch_first") else 0] if x is not None and x.dim() == 3 else 0
    return isinstance(steps, int) and steps <= _UNROLLED_STEPS


def _computed_weights(view: NodeView) -> bool:
    return any(isinstance(weight, torch.fx.Node) and not view.is_constant(weight) for weight in view.argument("params") or ())


def _is_more_than_plain_nll(view: NodeView) -> bool:
    x = view.tensor("self")
    return x is None or x.dim() != 2 or view.argument("weight") is not None or view.argument("ignore_index") != -100


def _below(target: ct.target) -> Callable[[NodeView], bool]:
    return lambda view: not view.options.targets(target)


# Functions that torch gives integers for integers, and MIL of floats only.
_FLOAT_FUNCTIONS = tuple(f"aten.{name}" for name in ("ceil", "floor", "frac", "relu", "round", "trunc"))

CONSTRAINTS: tuple[Constraint, ...] = (
    # What holds for every op.
    Constraint(
        code="dtype",
        ops=("*",),
        violated=_other_dtype,
        reason="Core ML has bool, int32, float16 and float32 tensors; other dtypes would be converted to them",
        reference=ET + "11686",
    ),
    Constraint(
        code="rank",
        ops=("*",),
        violated=_rank_above_five,
        reason="Core ML tensors have at most 5 dimensions",
        reference=ET + "11694",
    ),
    Constraint(
        code="data_dependent_shape",
        ops=("*",),
        violated=_is_data_dependent,
        reason="the shape of the result depends on the data",
        reference=ET + "17537",
    ),
    Constraint(
        code="memory_format",
        ops=("*",),
        violated=_not_contiguous,
        reason="Core ML tensors are contiguous; channels_last and other orders of dimensions are not",
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
        violated=_other_memory_format,
        reason="Core ML tensors are contiguous; channels_last and other orders of dimensions are not",
    ),
    Constraint(
        code="empty_tensor",
        ops=("*",),
        violated=_is_empty,
        reason="Core ML tensors have at least one element",
    ),
    # Calls that coremltools cannot convert.
    Constraint(
        code="not_implemented",
        ops=("aten.acosh", "aten.asinh"),
        violated=always,
        reason="coremltools has no conversion that works",
        reference=CT + "2569",
    ),
    Constraint(
        code="not_implemented",
        ops=("aten.rand.default",),
        violated=always,
        reason="coremltools' conversion reads arguments that the op does not have",
        reference=ET + "11722",
    ),
    Constraint(
        code="threshold",
        ops=("aten.softplus",),
        violated=argument_is_not("threshold", None, 20, 20.0),
        reason="Core ML's softplus has no threshold; torch's default is where float32 sees no difference",
    ),
    Constraint(
        code="bool_elements",
        ops=("aten.gather", "aten.masked_fill"),
        violated=lambda view: view.inputs[0].dtype == torch.bool,
        reason="Core ML gathers and fills numbers only",
    ),
    Constraint(
        code="order_of_bools",
        ops=(
            *("aten.minimum", "aten.maximum", "aten.amin", "aten.amax", "aten.min", "aten.max"),
            *("aten.lt", "aten.le", "aten.gt", "aten.ge"),
        ),
        violated=lambda view: any(tensor.dtype == torch.bool for tensor in view.inputs),
        reason="Core ML compares the size of numbers only",
    ),
    Constraint(
        code="flattened_argument",
        ops=("aten.argmax", "aten.argmin"),
        violated=lambda view: view.argument("dim") is None,
        reason="the reduction over the flattened input (dim=None) crashes Core ML now and then",
        reference=ET + "11715",
    ),
    Constraint(
        code="divisor_override",
        ops=("aten.avg_pool1d", "aten.avg_pool2d", "aten.avg_pool3d"),
        violated=argument_is_not("divisor_override", None),
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
        violated=_dilated,
        reason="Core ML's max pooling has no dilation",
        reference=ET + "11697",
    ),
    Constraint(
        code="pool_indices",
        ops=("aten.max_pool1d_with_indices", "aten.max_pool2d_with_indices", "aten.max_pool3d_with_indices"),
        violated=lambda view: view.is_used(1),
        reason="Core ML's max pooling gives no indices",
    ),
    Constraint(
        code="statistics",
        ops=(
            *("aten.native_layer_norm", "aten.native_group_norm", "aten.native_batch_norm", "aten._native_batch_norm_legit"),
            *("aten._native_batch_norm_legit_no_training", "aten._native_batch_norm_legit_functional"),
        ),
        violated=lambda view: view.is_used(1) or view.is_used(2),
        reason="Core ML's normalizations give no mean and deviation",
    ),
    Constraint(
        code="pool_indices",
        ops=("aten.adaptive_max_pool1d", "aten.adaptive_max_pool2d", "aten.adaptive_max_pool3d"),
        violated=lambda view: view.is_used(1),
        reason="Core ML's max pooling gives no indices",
    ),
    Constraint(
        code="pool_ceil_3d",
        ops=("aten.avg_pool3d",),
        violated=lambda view: bool(view.argument("ceil_mode")) and bool(view.argument("count_include_pad")),
        reason="Core ML's average pooling of volumes rounds no extent up where it counts the padding",
    ),
    Constraint(
        code="output_padding",
        ops=("aten.convolution", "aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d"),
        violated=_pads_output_only,
        reason="coremltools converts output_padding only with as much padding",
    ),
    Constraint(
        code="unsorted_topk",
        ops=("aten.topk",),
        violated=argument_is_not("sorted", True),
        reason="coremltools converts topk only with sorted=True",
        reference=ET + "11698",
    ),
    Constraint(
        code="boolean_index",
        ops=("aten.index", "aten.index_put", "aten.masked_select", "aten.nonzero"),
        violated=_boolean_index,
        reason="the shape of the result depends on the data",
    ),
    Constraint(
        code="index_put_broadcast",
        ops=("aten.index_put",),
        violated=_indices_of_several_shapes,
        reason="coremltools does not broadcast the indices of index_put against each other",
    ),
    Constraint(
        code="index_put_after_whole_dimension",
        ops=("aten.index_put",),
        violated=_index_put_after_whole_dimension,
        reason="of indices of several elements, one vector is converted, and those in the leading dimensions",
    ),
    Constraint(
        code="missing_arguments",
        ops=("aten.mse_loss", "aten.nll_loss_nd", "aten.hann_window", "aten.cosine_embedding_loss"),
        violated=lambda view: len(view.node.args) < len(view.arguments),
        reason="coremltools wants all arguments of it, of which torch.export leaves out those that have their default",
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
        violated=_unbatched,
        reason="Core ML pools batches of images only",
    ),
    Constraint(
        code="unbatched",
        ops=(
            *("aten.convolution", "aten.conv1d", "aten.conv2d", "aten.conv3d"),
            *("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d"),
        ),
        violated=_convolves_unbatched,
        reason="Core ML convolves batches of images only",
    ),
    Constraint(
        code="loss_options",
        ops=("aten.nll_loss_nd",),
        violated=_is_more_than_plain_nll,
        reason="coremltools takes the classes of the last dimension, and reads neither weight nor ignore_index",
    ),
    Constraint(
        code="scalar_dimension",
        ops=("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax", "aten.flip", "aten.argsort"),
        violated=lambda view: any(tensor.dim() == 0 for tensor in view.inputs[:1]),
        reason="Core ML's operations along a dimension want one",
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
        violated=_below(ct.target.iOS16),
        reason="pixel_unshuffle needs minimum_deployment_target iOS16",
    ),
    Constraint(
        code="fold_overlap",
        ops=("aten.col2im",),
        violated=lambda view: any(s < k for s, k in zip(view.argument("stride"), view.argument("kernel_size"), strict=True)),
        reason="coremltools folds blocks only where they do not overlap",
    ),
    Constraint(
        code="grouped_attention",
        ops=("aten.scaled_dot_product_attention",),
        violated=argument_is_not("enable_gqa", False, None),
        reason="coremltools does not read enable_gqa",
    ),
    Constraint(
        code="matmul_vector",
        ops=("aten.matmul",),
        violated=lambda view: any(tensor.dim() < 2 for tensor in view.inputs),
        reason="coremltools multiplies matrices only",
    ),
    Constraint(
        code="negative_padding",
        ops=("aten.constant_pad_nd", "aten.pad"),
        violated=_pads_by_what_core_ml_has_not,
        reason="Core ML pads by constant amounts, which are not negative where it reflects or repeats",
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
        violated=output_is_integer,
        reason="coremltools computes integer products in float16",
        reference=CT + "2673",
    ),
    Constraint(
        code="integer_argument",
        ops=_FLOAT_FUNCTIONS,
        violated=any_input_is_integer,
        reason="Core ML computes this function of floats only, and coremltools does not convert the argument",
    ),
    # Calls that coremltools converts to other numbers than torch's.
    Constraint(
        code="diagonal",
        ops=("aten.diagonal", "aten.diagonal_copy"),
        violated=is_dynamic,
        reason="the diagonal is gathered at constant indices, which needs a fixed shape",
        reference=CT + "2682",
    ),
    Constraint(
        code="triangle_of_infinity",
        ops=("aten.tril", "aten.triu"),
        violated=output_is_float,
        reason="coremltools multiplies by a mask, which makes NaN of infinity",
        reference=CT + "2771",
    ),
    Constraint(
        code="roll_dynamic",
        ops=("aten.roll",),
        violated=is_dynamic,
        reason="coremltools rolls dynamic dimensions with range_1d and mod, which devices compute wrongly",
        reference=CT + "2838",
    ),
    Constraint(
        code="randint",
        ops=("aten.randint", "aten.randint_like"),
        violated=always,
        reason="coremltools includes the upper bound",
        reference=CT + "2714",
    ),
    Constraint(
        code="gru_target",
        ops=("aten.gru",),
        violated=_short_gru_without_reset_after,
        reason="Core ML's gru computes torch's from minimum_deployment_target iOS18 on; the steps are unrolled instead",
    ),
    Constraint(
        code="packed_sequence",
        ops=("aten.gru.data", "aten.lstm.data"),
        violated=always,
        reason="Core ML has no packed sequences",
    ),
    Constraint(
        code="recurrent_weights",
        ops=("aten.gru", "aten.lstm"),
        violated=_computed_weights,
        reason="the weights of a recurrent layer must be constants",
    ),
    Constraint(
        code="quantized_weights_target",
        ops=("quantized_decomposed.dequantize_per_channel", "quantized_decomposed.dequantize_per_tensor"),
        violated=_below(ct.target.iOS17),
        reason="quantized values need minimum_deployment_target iOS17",
    ),
)


def constraints_of(op: str) -> list[Constraint]:
    """The rows that are about an op, in the table's order."""
    return [constraint for constraint in CONSTRAINTS if constraint.is_about(op)]


def violated(view: NodeView) -> Constraint | None:
    """The first row that a call breaks, or None."""
    return next(
        (constraint for constraint in constraints_of(view.op) if not is_fixed(constraint.fixed_in) and constraint.violated(view)),
        None,
    )
