"""What can be asked of a call: predicates of a `NodeView`, of which the rows of the constraint table are made.

Each returns whether a call is what the predicate's name says. It reads the arguments of the call, the types of its values, and the options of
the lowering, and changes nothing. A predicate with parameters of its own returns such a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import coremltools as ct
import torch

from executorch_coreml.compiler import high_rank
from executorch_coreml.compiler.high_rank_forms import MAXIMUM_RANK
from executorch_coreml.partition.node_view import NodeView, has_other_dim_order, tensors

# Namespaces whose ops are about low-precision values.
_QUANTIZATION = ("quantized_decomposed.", "torchao.", "quant.")

_TAKEN_DTYPES = frozenset({torch.bool, torch.int32, torch.int64, torch.float16, torch.float32})
_INTEGERS = frozenset({torch.bool, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64})


def always(view: NodeView) -> bool:
    """For rows that no call of their ops passes."""
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


def has_other_dtype(view: NodeView) -> bool:
    """Whether a value has a dtype that Core ML lacks. Constants do not count: they are converted ahead of time."""
    if is_quantization(view.op):
        return False
    constant = (tensor for node in view.node.all_input_nodes if view.is_constant(node) for tensor in tensors(node.meta.get("val")))
    if any(tensor.is_complex() for tensor in constant):
        return True
    return any(tensor.dtype not in _TAKEN_DTYPES for tensor in (*view.computed_inputs, *view.outputs))


def has_rank_above_five(view: NodeView) -> bool:
    """Whether a value has more dimensions than Core ML takes, in a call for which no form of fewer dimensions is known."""
    if all(tensor.dim() <= MAXIMUM_RANK for tensor in (*view.inputs, *view.outputs)):
        return False
    return not high_rank.takes(view.node)


def is_not_contiguous(view: NodeView) -> bool:
    """Whether a tensor is meant to lie in memory in another order of dimensions than that of its shape."""
    return view.orders_matter and any(has_other_dim_order(tensor) for tensor in (*view.computed_inputs, *view.outputs))


def asks_for_other_memory_format(view: NodeView) -> bool:
    """Whether an argument asks for a result in another order of dimensions than that of its shape."""
    order, format_ = view.argument("dim_order"), view.argument("memory_format")
    if order is not None and list(order) != list(range(len(order))):
        return True
    return format_ not in (None, torch.contiguous_format, torch.preserve_format)


def is_empty(view: NodeView) -> bool:
    return any(isinstance(e, int) and e == 0 for t in (*view.inputs, *view.outputs) for e in t.shape)


def is_data_dependent(view: NodeView) -> bool:
    """Whether a number or an extent, read or computed, is known only from the data."""
    values = [node.meta.get("val") for node in (view.node, *view.node.all_input_nodes)]
    extents = [extent for value in values for tensor in tensors(value) for extent in tensor.shape]
    return any(
        not isinstance(number, (int, float)) and re.search(r"\bz?u\d+\b", str(number))
        for number in (*extents, *(v for v in values if isinstance(v, (torch.SymInt, torch.SymBool, torch.SymFloat))))
    )


def is_dilated(view: NodeView) -> bool:
    dilation = view.argument("dilation")
    return any(d != 1 for d in (dilation if isinstance(dilation, (list, tuple)) else [dilation]) if d is not None)


def has_boolean_index(view: NodeView) -> bool:
    indices = view.argument("indices") or ()
    return any(isinstance(index, torch.fx.Node) and index.meta["val"].dtype in (torch.bool, torch.uint8) for index in indices)


def puts_behind_whole_dimension(view: NodeView) -> bool:
    """Whether an index of several elements stands behind a dimension that is taken whole. One vector of known length is converted
    (corrections), and does not count."""
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


def has_indices_of_several_shapes(view: NodeView) -> bool:
    indices = [index.meta["val"] for index in view.argument("indices") or () if isinstance(index, torch.fx.Node)]
    # By how they are written: extents that are computed cannot be put into a set.
    return len({str(tuple(index.shape)) for index in indices}) > 1


def pools_unbatched(view: NodeView) -> bool:
    """Whether the input of a pooling op has no dimension for the batch. How many dimensions are spatial is read from the op's name."""
    x = view.tensor("self")
    spatial = next((int(digit) for digit in view.op if digit in "123"), 0)
    return x is not None and x.dim() != spatial + 2


def convolves_unbatched(view: NodeView) -> bool:
    """Whether the input of a convolution has no dimension for the batch."""
    x, weight = view.tensor("input"), view.tensor("weight")
    return x is None or weight is None or x.dim() != weight.dim()


def pads_by_other_amounts(view: NodeView) -> bool:
    """Whether the amounts are computed, or are negative in a mode other than padding with a constant."""
    pads = view.argument("pad") or ()
    if not all(isinstance(amount, int) for amount in pads):
        return True
    return min(pads, default=0) < 0 and view.argument("mode") not in (None, "constant")


def pads_output_beyond_padding(view: NodeView) -> bool:
    """Whether a transposed convolution pads its output by more than it cuts off."""

    def extents(name: str) -> list[int]:
        value = view.argument(name)
        return list(value) if isinstance(value, (list, tuple)) else [int(value or 0)]

    output, cut = extents("output_padding"), extents("padding")
    return any(output) and not all(o <= c for o, c in zip(output, cut * len(output) if len(cut) == 1 else cut, strict=False))


# Steps up to which a GRU is unrolled below iOS 18: about ten MIL operations each. Longer ones become a loop, which converts at any length.
_UNROLLED_STEPS = 64


def is_short_gru_below_ios18(view: NodeView) -> bool:
    """Whether a GRU has few enough steps to be unrolled, and a target whose gru computes something else than torch's."""
    if view.options.targets(ct.target.iOS18):
        return False
    x = view.tensor("input")
    steps = x.shape[1 if view.argument("batch_first") else 0] if x is not None and x.dim() == 3 else 0
    return isinstance(steps, int) and steps <= _UNROLLED_STEPS


def has_computed_weights(view: NodeView) -> bool:
    """Whether a weight of a recurrent layer is not known ahead of time."""
    return any(isinstance(weight, torch.fx.Node) and not view.is_constant(weight) for weight in view.argument("params") or ())


def is_more_than_plain_nll(view: NodeView) -> bool:
    """Whether a negative log likelihood has other inputs than [batch, classes], weights, or an index of its own that it leaves out."""
    x = view.tensor("self")
    return x is None or x.dim() != 2 or view.argument("weight") is not None or view.argument("ignore_index") != -100


def targets_below(target: ct.target) -> Callable[[NodeView], bool]:
    """Whether the program is lowered for systems older than `target`."""
    return lambda view: not view.options.targets(target)
