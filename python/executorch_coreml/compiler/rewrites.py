"""Calls that coremltools misreads, rewritten in the graph to calls that mean the same and that it reads right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from executorch.exir.dialects._ops import ops as exir_ops
from executorch.exir.dialects.edge._ops import EdgeOpOverload

from executorch_coreml.compiler.high_rank import lower_rank


def _overload(target: Any) -> torch._ops.OpOverload:
    return target._op if isinstance(target, EdgeOpOverload) else target


def _with_stride(node: torch.fx.Node) -> None:
    """Pooling without a stride, which means the kernel's size: coremltools expects the argument."""
    if len(node.args) == 2 or (len(node.args) > 2 and not node.args[2]):
        node.args = (*node.args[:2], node.args[1], *node.args[3:])


def _with_defaults(node: torch.fx.Node) -> None:
    """A call without its last arguments: coremltools expects all of them."""
    schema = _overload(node.target)._schema
    for argument in schema.arguments[len(node.args) :]:
        if argument.kwarg_only or argument.name in node.kwargs or not argument.has_default_value():
            return
        node.args = (*node.args, argument.default_value)


def _cast_first(node: torch.fx.Node) -> None:
    """A reduction with a dtype, which torch casts its input to: coremltools casts the result instead, or not at all."""
    schema = _overload(node.target)._schema
    position = next(index for index, argument in enumerate(schema.arguments) if argument.name == "dtype")
    dtype = node.args[position] if position < len(node.args) else node.kwargs.get("dtype")
    source: Any = node.args[0]
    if dtype is None or source.meta["val"].dtype == dtype:
        return
    with node.graph.inserting_before(node):
        cast = node.graph.call_function(torch.ops.aten._to_copy.default, (source,), {"dtype": dtype})
    cast.meta = {**source.meta, "val": source.meta["val"].to(dtype)}
    node.args = (cast, *node.args[1:])


def _fill_of_result(node: torch.fx.Node) -> None:
    """A tensor of integers filled with a fraction, which torch cuts: coremltools fills with the fraction, and goes on with it."""
    dtype = node.meta["val"].dtype
    if not dtype.is_floating_point and isinstance(node.args[1], float):
        node.args = (node.args[0], int(node.args[1]) if dtype != torch.bool else bool(node.args[1]), *node.args[2:])


def _float_bounds(node: torch.fx.Node) -> None:
    """Bounds given as integers to a function of floats: coremltools hands them on as int32."""
    if node.meta["val"].dtype.is_floating_point:
        bounds: tuple[Any, ...] = node.args[1:]
        node.args = (node.args[0], *(float(bound) for bound in bounds))


_POOLING = ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")


# By overload.
_WITH_DTYPE = {
    "mean": ("default", "dim"),
    "sum": ("default", "dim_IntList"),
    "prod": ("default", "dim_int"),
    "cumsum": ("default",),
    "softmax": ("int",),
    "log_softmax": ("int",),
}


def _both_dialects(name: str, overload: str = "default") -> tuple[object, object]:
    return tuple(getattr(getattr(dialect, name), overload) for dialect in (torch.ops.aten, exir_ops.edge.aten))


_REWRITES: Mapping[object, Callable[[torch.fx.Node], None]] = {
    **{target: _with_stride for name in (*_POOLING, "max_pool2d_with_indices") for target in _both_dialects(name)},
    **{target: _cast_first for name, overloads in _WITH_DTYPE.items() for o in overloads for target in _both_dialects(name, o)},
    **{target: _fill_of_result for name in ("full", "full_like") for target in _both_dialects(name)},
    **{target: _float_bounds for target in _both_dialects("hardtanh")},
    **{target: _with_defaults for target in _both_dialects("cosine_similarity")},
}


def rewrite(graph: torch.fx.Graph) -> None:
    """Applies every rewrite, in place."""
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in _REWRITES:
            _REWRITES[node.target](node)
    lower_rank(graph)
