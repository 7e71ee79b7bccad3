"""Values of more dimensions than Core ML has, where they only rearrange elements.

Windows, patches and space-to-depth split an image's dimensions, permute the parts and join them again:

    [1, 56, 56, 96] -> view [1, 8, 7, 8, 7, 96] -> permute (0, 1, 3, 2, 4, 5) -> view [64, 49, 96]

The six dimensions are only a way of writing it: dimensions of one element move nothing, and neighbours that stay neighbours move together. What
is left here is a permutation of [8, 7, 8, 672]. `takes(node)` says of one call whether it is of this kind; `lower_rank(graph)` rewrites such
chains between values that Core ML can hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from executorch.exir.dialects._ops import ops as exir_ops
from executorch.exir.dialects.edge._ops import EdgeOpOverload

MAXIMUM_RANK = 5

# Give the elements of their first argument in the same order, in another shape at most.
_KEEPS_ORDER = frozenset(
    {
        "aten::_unsafe_view",
        "aten::alias",
        "aten::alias_copy",
        "aten::clone",
        "aten::contiguous",
        "aten::reshape",
        "aten::squeeze",
        "aten::squeeze_copy",
        "aten::unsqueeze",
        "aten::unsqueeze_copy",
        "aten::view",
        "aten::view_copy",
        "dim_order_ops::_clone_dim_order",
    }
)
_PERMUTES = frozenset({"aten::permute", "aten::permute_copy"})
_SWAPS = frozenset({"aten::transpose", "aten::transpose_copy"})


def _name(target: Any) -> str:
    """`namespace::name` of an operator; empty for what is none."""
    if isinstance(target, EdgeOpOverload):
        target = target._op
    return target._schema.name if isinstance(target, torch._ops.OpOverload) else ""


def _static_shape(value: Any) -> list[int] | None:
    """The shape of a tensor of fixed extents; None for anything else."""
    if not isinstance(value, torch.Tensor) or not all(isinstance(extent, int) for extent in value.shape):
        return None
    return list(value.shape)


def _permutation(node: torch.fx.Node, rank: int) -> list[int] | None:
    """Output dimension -> input dimension of a call that permutes; None for other calls."""
    name = _name(node.target)
    arguments: list[Any] = [*node.args[1:], *node.kwargs.values()]
    if name in _PERMUTES:
        return [int(dim) % rank for dim in arguments[0]]
    if name in _SWAPS:
        first, second = (int(dim) % rank for dim in arguments)
        permutation = list(range(rank))
        permutation[first], permutation[second] = second, first
        return permutation
    return None


def merged(shape: Sequence[int], permutation: Sequence[int]) -> tuple[list[int], list[int]]:
    """The same movement of elements with as few dimensions as it has: (shape, permutation).

    x.permute(permutation) of an x of `shape` has the elements, in order, of x.reshape(merged shape).permute(merged permutation).
    """
    moving = [axis for axis in range(len(shape)) if shape[axis] != 1]
    follows = dict(itertools.pairwise(moving))
    groups: list[list[int]] = []
    for axis in permutation:
        if shape[axis] == 1:
            continue
        if groups and follows.get(groups[-1][-1]) == axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    ordered = sorted(groups)
    return [math.prod(shape[axis] for axis in group) for group in ordered], [ordered.index(group) for group in groups]


def takes(node: torch.fx.Node) -> bool:
    """Whether a call, which reads or gives a value of more than five dimensions, can be written with five."""
    source = node.args[0] if node.args else None
    # The value of a placeholder has all its dimensions, whatever is done with it.
    if not isinstance(source, torch.fx.Node):
        return False
    before, after = _static_shape(source.meta.get("val")), _static_shape(node.meta.get("val"))
    if before is None or after is None or (len(before) > MAXIMUM_RANK and source.op != "call_function"):
        return False
    if source.meta["val"].dtype != node.meta["val"].dtype:
        return False  # aten::view has an overload that reads the same bytes as another dtype.
    if _name(node.target) in _KEEPS_ORDER:
        return True
    permutation = _permutation(node, len(before))
    return permutation is not None and len(merged(before, permutation)[0]) <= MAXIMUM_RANK


def _operator(node: torch.fx.Node, name: str) -> Any:
    """view_copy or permute_copy in the dialect of a call."""
    namespace = exir_ops.edge.aten if isinstance(node.target, EdgeOpOverload) else torch.ops.aten
    return getattr(namespace, name).default


def _permuted(node: torch.fx.Node, source: torch.fx.Node, shape: list[int], order: list[int]) -> torch.fx.Node:
    """source.reshape(shape).permute(order), inserted before `node`, whose place in the model it has."""
    value = source.meta["val"].reshape(shape)
    steps = (("view_copy", shape, value), ("permute_copy", order, value.permute(order).contiguous()))
    for name, argument, result in steps:
        with node.graph.inserting_before(node):
            source = node.graph.call_function(_operator(node, name), (source, argument))
        source.meta = {**node.meta, "val": result}
    return source


def lower_rank(graph: torch.fx.Graph) -> None:
    """Rewrites, in place, the chains whose ends have at most five dimensions; others stay as they are."""
    # A value of more than five dimensions -> one of at most five with the same elements in the same order.
    carriers: dict[torch.fx.Node, torch.fx.Node] = {}
    for node in list(graph.nodes):
        source = node.args[0] if node.op == "call_function" and node.args else None
        if not isinstance(source, torch.fx.Node):
            continue
        before, after = _static_shape(source.meta.get("val")), _static_shape(node.meta.get("val"))
        if before is None or after is None or max(len(before), len(after)) <= MAXIMUM_RANK or not takes(node):
            continue
        carrier = carriers.get(source) if len(before) > MAXIMUM_RANK else source
        if carrier is None:
            continue
        permutation = _permutation(node, len(before))
        if permutation is not None:
            shape, order = merged(before, permutation)
            if order != sorted(order):
                carrier = _permuted(node, carrier, shape, order)
        if len(after) > MAXIMUM_RANK:
            carriers[node] = carrier
        else:
            # Keeps its name, which may be an output's.
            node.target, node.args, node.kwargs = _operator(node, "view_copy"), (carrier, after), {}
    for node in reversed(carriers):
        if not node.users:
            graph.erase_node(node)
