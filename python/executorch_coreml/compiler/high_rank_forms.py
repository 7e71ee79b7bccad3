"""Calls that compute with values of more dimensions than Core ML has, said with fewer.

What an operation on elements does to one dimension it does to its neighbour, unless one of the two is repeated for another operand: relative
positions of windows of video,

    [1, 4, 8, 7, 7, 8, 7, 7] + [1, 4, 8, 7, 7, 1, 7, 1]

are [1568, 8, 7, 7] + [1568, 1, 7, 1]. What works along one dimension needs that one, and what is before and behind it. `form_of(node)` says a call so.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload

MAXIMUM_RANK = 5


@dataclasses.dataclass(frozen=True)
class Form:
    """A call with fewer dimensions. inputs: the shapes that its tensors are given. shape: that of its result."""

    inputs: Mapping[torch.fx.Node, list[int]]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: list[int]


def overload(target: Any) -> torch._ops.OpOverload | None:
    """The ATen operator of a call of either dialect; None for what is no operator."""
    if isinstance(target, EdgeOpOverload):
        target = target._op
    return target if isinstance(target, torch._ops.OpOverload) else None


def name_of(target: Any) -> str:
    """`namespace::name` of an operator; empty for what is none."""
    op = overload(target)
    return "" if op is None else str(op._schema.name)


def static_shape(value: Any) -> list[int] | None:
    """The shape of a tensor of fixed extents; None for anything else."""
    if not isinstance(value, torch.Tensor) or not all(isinstance(extent, int) for extent in value.shape):
        return None
    return list(value.shape)


def _arguments(node: torch.fx.Node) -> dict[str, Any]:
    """The arguments that have a position, by name, defaults included."""
    op = overload(node.target)
    assert op is not None
    named = {}
    for index, argument in enumerate(op._schema.arguments):
        if not argument.kwarg_only:
            given = node.args[index] if index < len(node.args) else node.kwargs.get(argument.name, argument.default_value)
            named[argument.name] = given
    return named


def _keywords(node: torch.fx.Node) -> dict[str, Any]:
    op = overload(node.target)
    assert op is not None
    only = {argument.name for argument in op._schema.arguments if argument.kwarg_only}
    return {name: value for name, value in node.kwargs.items() if name in only}


def _sizes(groups: Sequence[Sequence[int]], shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis] for axis in group) for group in groups]


def _alike(shape: Sequence[int], patterns: Sequence[Any]) -> list[list[int]]:
    """The dimensions in groups of neighbours of one pattern. Those of one element move nothing, and are with the last ones or the first."""
    moving = [axis for axis in range(len(shape)) if shape[axis] != 1]
    groups = [list(group) for _, group in itertools.groupby(moving, key=lambda axis: patterns[axis])]
    return groups or [[0]]


def _elements(node: torch.fx.Node, shape: list[int]) -> Form | None:
    """Of a call that computes each element from those in the same place, tensors broadcast."""
    sources = {source: static_shape(source.meta.get("val")) for source in node.all_input_nodes}
    if any(extents is None for extents in sources.values()):
        return None
    padded = {source: [1] * (len(shape) - len(extents or [])) + (extents or []) for source, extents in sources.items()}
    patterns = [tuple(extents[axis] == 1 for extents in padded.values()) for axis in range(len(shape))]
    groups = _alike(shape, patterns)
    inputs = {source: _sizes(groups, extents) for source, extents in padded.items() if sources[source]}
    kwargs = dict(node.kwargs)
    if kwargs.get("dim_order") is not None:
        kwargs["dim_order"] = list(range(len(groups)))
    return Form(inputs, node.args, kwargs, _sizes(groups, shape))


def _expansion(node: torch.fx.Node, shape: list[int]) -> Form | None:
    form = _elements(node, shape)
    return form and dataclasses.replace(form, args=(node.args[0], form.shape))


def _before_at_behind(shape: Sequence[int], dim: int) -> list[int]:
    return [math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])]


def _one_dimension(node: torch.fx.Node, shape: list[int]) -> Form | None:
    """Of a call that works along one dimension of its one tensor."""
    source: Any = node.args[0]
    extents = static_shape(source.meta.get("val")) if isinstance(source, torch.fx.Node) else None
    arguments = _arguments(node)
    if extents is None or not isinstance(arguments.get("dim"), int):
        return None
    dim = arguments["dim"] % len(extents)
    given = _before_at_behind(extents, dim)
    is_taken_away = len(shape) < len(extents)  # By select.
    made = [given[0], given[2]] if is_taken_away else _before_at_behind(shape, dim)
    return Form({source: given}, tuple((arguments | {"dim": 1}).values()), _keywords(node), made)


def _joined(node: torch.fx.Node, shape: list[int]) -> Form | None:
    """Of a concatenation."""
    arguments = _arguments(node)
    parts = {part: static_shape(part.meta.get("val")) for part in arguments["tensors"]}
    if any(extents is None or len(extents) != len(shape) for extents in parts.values()):
        return None
    dim = arguments["dim"] % len(shape)
    inputs = {part: _before_at_behind(extents or [], dim) for part, extents in parts.items()}
    return Form(inputs, (arguments["tensors"], 1), {}, _before_at_behind(shape, dim))


def _reduction(node: torch.fx.Node, shape: list[int]) -> Form | None:
    """Of a call that makes one element of all those along some dimensions."""
    source: Any = node.args[0]
    extents = static_shape(source.meta.get("val")) if isinstance(source, torch.fx.Node) else None
    if extents is None:
        return None
    arguments = _arguments(node)
    if "dim" not in arguments:
        return Form({source: [math.prod(extents)]}, node.args, node.kwargs, shape)
    reduced = {dim % len(extents) for dim in (arguments["dim"] or range(len(extents)))}
    groups = _alike(extents, [axis in reduced for axis in range(len(extents))])
    given = _sizes(groups, extents)
    axes = [index for index, group in enumerate(groups) if group[0] in reduced]
    if not axes:  # Of one element each, which is a call that changes nothing; it is rare enough to leave it.
        return None
    made = [1 if index in axes else extent for index, extent in enumerate(given)]
    if not arguments["keepdim"]:
        made = [extent for index, extent in enumerate(given) if index not in axes]
    return Form({source: given}, tuple((arguments | {"dim": axes}).values()), _keywords(node), made)


def _last_dimension(node: torch.fx.Node, shape: list[int]) -> Form | None:
    """Of a call that does the same with each row of its first tensor."""
    source: Any = node.args[0]
    extents = static_shape(source.meta.get("val")) if isinstance(source, torch.fx.Node) else None
    if extents is None or (name_of(node.target) == "aten::layer_norm" and len(_arguments(node)["normalized_shape"]) != 1):
        return None
    rows = math.prod(extents[:-1])
    return Form({source: [rows, extents[-1]]}, node.args, node.kwargs, [rows, shape[-1]])


_FORMS: Mapping[str, Callable[[torch.fx.Node, list[int]], Form | None]] = {
    **dict.fromkeys(("aten::_to_copy", "dim_order_ops::_to_dim_order_copy"), _elements),
    **dict.fromkeys(("aten::expand", "aten::expand_copy"), _expansion),
    **dict.fromkeys(("aten::select", "aten::select_copy", "aten::slice", "aten::slice_copy"), _one_dimension),
    **dict.fromkeys(("aten::softmax", "aten::_softmax", "aten::log_softmax", "aten::_log_softmax", "aten::cumsum"), _one_dimension),
    **dict.fromkeys(("aten::sum", "aten::mean", "aten::amax", "aten::amin"), _reduction),
    **dict.fromkeys(("aten::linear", "aten::layer_norm"), _last_dimension),
    "aten::cat": _joined,
}


def form_of(node: torch.fx.Node) -> Form | None:
    """The call with at most five dimensions; None where no such form of it is known, or an extent is not fixed."""
    op, shape = overload(node.target), static_shape(node.meta.get("val"))
    if op is None or shape is None:
        return None
    make = _FORMS.get(str(op._schema.name))
    if make is None and torch.Tag.pointwise in op.tags:
        make = _elements
    form = make(node, shape) if make is not None else None
    if form is None or any(len(extents) > MAXIMUM_RANK for extents in (*form.inputs.values(), form.shape)):
        return None
    return form
