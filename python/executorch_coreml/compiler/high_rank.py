"""Values of more dimensions than Core ML has, where fewer are enough to say what is done with them.

Windows, patches and space-to-depth split an image's dimensions, permute the parts and join them again:

    [1, 56, 56, 96] -> view [1, 8, 7, 8, 7, 96] -> permute (0, 1, 3, 2, 4, 5) -> view [64, 49, 96]

The six dimensions are only a way of writing it: dimensions of one element move nothing, and neighbours that stay neighbours move together. What
is left here is a permutation of [8, 7, 8, 672]. What calls between such values compute is said with fewer dimensions, too (high_rank_forms.py).
`takes(node)` says of one call whether it is of this kind; `lower_rank(graph)` rewrites such chains between values that Core ML can hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from executorch.exir.dialects._ops import ops as exir_ops
from executorch.exir.dialects.edge._ops import EdgeOpOverload

from executorch_coreml.compiler.high_rank_forms import MAXIMUM_RANK, Form, form_of, name_of, static_shape

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


def _permutation(node: torch.fx.Node, rank: int) -> list[int] | None:
    """Output dimension -> input dimension of a call that permutes; None for other calls."""
    name = name_of(node.target)
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


def _rearranges(node: torch.fx.Node) -> bool:
    """Whether a call gives the elements of its first argument, in another shape or order that five dimensions can say."""
    source = node.args[0] if node.args else None
    if not isinstance(source, torch.fx.Node):
        return False
    before, after = static_shape(source.meta.get("val")), static_shape(node.meta.get("val"))
    if before is None or after is None:
        return False
    if source.meta["val"].dtype != node.meta["val"].dtype:
        return False  # aten::view has an overload that reads the same bytes as another dtype.
    if name_of(node.target) in _KEEPS_ORDER:
        return True
    permutation = _permutation(node, len(before))
    return permutation is not None and len(merged(before, permutation)[0]) <= MAXIMUM_RANK


def _rank(node: torch.fx.Node) -> int:
    value = node.meta.get("val")
    return value.dim() if isinstance(value, torch.Tensor) else 0


def takes(node: torch.fx.Node) -> bool:
    """Whether a call, which reads or gives a value of more than five dimensions, can be written with five."""
    # The value of a placeholder has all its dimensions, whatever is done with it.
    if any(_rank(source) > MAXIMUM_RANK and source.op != "call_function" for source in node.all_input_nodes):
        return False
    return _rearranges(node) or form_of(node) is not None


def operator_of(node: torch.fx.Node, name: str) -> Any:
    """view_copy or permute_copy in the dialect of a call."""
    namespace = exir_ops.edge.aten if isinstance(node.target, EdgeOpOverload) else torch.ops.aten
    return getattr(namespace, name).default


def _called(node: torch.fx.Node, target: Any, args: Any, kwargs: Any, shape: Sequence[int]) -> torch.fx.Node:
    """A call inserted before `node`, whose place in the model it has, and whose dtype its first argument has."""
    with node.graph.inserting_before(node):
        made = node.graph.call_function(target, tuple(args), dict(kwargs))
    like = args[0] if target is not node.target else node
    made.meta = {**node.meta, "val": like.meta["val"].new_empty(shape)}
    return made


def _viewed(node: torch.fx.Node, source: torch.fx.Node, shape: list[int]) -> torch.fx.Node:
    """source.reshape(shape), inserted before `node`."""
    if static_shape(source.meta["val"]) == shape:
        return source
    return _called(node, operator_of(node, "view_copy"), (source, shape), {}, shape)


def _rearranged(node: torch.fx.Node, carrier: torch.fx.Node) -> torch.fx.Node:
    """The elements that a call gives, in order, in some shape; of the elements of its argument in `carrier`."""
    source: Any = node.args[0]
    before = list(source.meta["val"].shape)
    permutation = _permutation(node, len(before))
    if permutation is None:
        return carrier
    shape, order = merged(before, permutation)
    if order == sorted(order):
        return carrier
    parts = _viewed(node, carrier, shape)
    return _called(node, operator_of(node, "permute_copy"), (parts, order), {}, [shape[axis] for axis in order])


def _computed(node: torch.fx.Node, form: Form, carriers: Mapping[torch.fx.Node, torch.fx.Node]) -> torch.fx.Node:
    """The elements that a call computes, in the shape of its form."""
    given = {source: _viewed(node, carriers.get(source, source), shape) for source, shape in form.inputs.items()}
    args, kwargs = torch.fx.node.map_arg((form.args, dict(form.kwargs)), lambda source: given.get(source, source))
    return _called(node, node.target, args, kwargs, form.shape)


def lower_rank(graph: torch.fx.Graph) -> None:
    """Rewrites, in place, the chains whose ends have at most five dimensions; others stay as they are."""
    # A value of more than five dimensions -> one of at most five with the same elements in the same order.
    carriers: dict[torch.fx.Node, torch.fx.Node] = {}
    for node in list(graph.nodes):
        high = [source for source in node.all_input_nodes if _rank(source) > MAXIMUM_RANK]
        is_high = bool(high) or _rank(node) > MAXIMUM_RANK
        if node.op != "call_function" or not is_high or not takes(node) or any(source not in carriers for source in high):
            continue
        if _rearranges(node):
            source: Any = node.args[0]
            carrier = _rearranged(node, carriers.get(source, source))
        else:
            form = form_of(node)
            assert form is not None
            carrier = _computed(node, form, carriers)
        if _rank(node) > MAXIMUM_RANK:
            carriers[node] = carrier
        else:
            # Keeps its name, which may be an output's.
            node.target, node.args, node.kwargs = operator_of(node, "view_copy"), (carrier, list(node.meta["val"].shape)), {}
    for node in reversed(carriers):
        if not node.users:
            graph.erase_node(node)
