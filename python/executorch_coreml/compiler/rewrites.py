"""Calls that coremltools misreads, rewritten in the graph to calls that mean the same and that it reads right: rules of the kind Rewrite (op_rules.py)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload

from executorch_coreml.compiler import op_rules
from executorch_coreml.compiler.high_rank import lower_rank
from executorch_coreml.node_facts import op_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rewrite(op_rules.Rule):
    """ops: `namespace.name.overload`. reason: what coremltools reads instead. rewrite: changes a call in place, or leaves one that means nothing else."""

    rewrite: Callable[[torch.fx.Node], None]


def _overload(target: Any) -> torch._ops.OpOverload:
    return target._op if isinstance(target, EdgeOpOverload) else target


def _with_whole_windows(node: torch.fx.Node) -> None:
    """Gives pooling a number for each spatial dimension, and, without a stride, the one that torch means, which is the size of the kernel."""
    spatial = next(int(digit) for digit in op_name(node.target) if digit in "123")
    sizes: list[Any] = [size * spatial if isinstance(size, list) and len(size) == 1 else size for size in node.args[1:]]
    if len(sizes) == 1 or not sizes[1]:
        sizes[1:2] = [sizes[0]]
    node.args = (node.args[0], *sizes)


def _with_defaults(node: torch.fx.Node) -> None:
    """Gives a call the last arguments that it leaves out."""
    schema = _overload(node.target)._schema
    for argument in schema.arguments[len(node.args) :]:
        if argument.kwarg_only or argument.name in node.kwargs or not argument.has_default_value():
            return
        node.args = (*node.args, argument.default_value)


def _cast_first(node: torch.fx.Node) -> None:
    """Casts the input of a reduction to the dtype that it names."""
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
    """Cuts the fraction that a tensor of integers is filled with, as torch does."""
    dtype = node.meta["val"].dtype
    if not dtype.is_floating_point and isinstance(node.args[1], float):
        node.args = (node.args[0], int(node.args[1]) if dtype != torch.bool else bool(node.args[1]), *node.args[2:])


def _float_bounds(node: torch.fx.Node) -> None:
    """Makes floats of the integers that bound a function of floats."""
    if node.meta["val"].dtype.is_floating_point:
        bounds: tuple[Any, ...] = node.args[1:]
        node.args = (node.args[0], *(float(bound) for bound in bounds))


def _sorted(node: torch.fx.Node) -> None:
    """Sorts what may stand in any order."""
    if "sorted" in node.kwargs:
        node.kwargs = {**node.kwargs, "sorted": True}
    elif len(node.args) > 4:
        node.args = (*node.args[:4], True)


_POOLING = (
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("max_pool2d_with_indices", "max_pool3d_with_indices"),
)

op_rules.add(
    Rewrite(
        ops=tuple(f"aten.{name}.default" for name in _POOLING),
        rewrite=_with_whole_windows,
        reason="coremltools expects the stride, which torch.export leaves out, and a number for each dimension where one stands for all",
    ),
    Rewrite(
        ops=(
            *(
                "aten.mean.default",
                "aten.mean.dim",
                "aten.sum.default",
                "aten.sum.dim_IntList",
                "aten.prod.default",
                "aten.prod.dim_int",
            ),
            *("aten.cumsum.default", "aten.softmax.int", "aten.log_softmax.int"),
        ),
        rewrite=_cast_first,
        reason="coremltools casts the result to the dtype that the call names, or casts nothing, where torch casts the input",
    ),
    Rewrite(
        ops=("aten.full.default", "aten.full_like.default"),
        rewrite=_fill_of_result,
        reason="coremltools fills a tensor of integers with a fraction and computes with it, where torch cuts off the fraction",
    ),
    Rewrite(
        ops=("aten.hardtanh.default",),
        rewrite=_float_bounds,
        reason="coremltools passes integer bounds as int32 to an operation on floats",
    ),
    Rewrite(
        ops=("aten.topk.default",),
        rewrite=_sorted,
        reason="coremltools converts topk only with sorted=True, which is one of the orders that sorted=False allows",
        reference="https://github.com/pytorch/executorch/issues/11698",
    ),
    Rewrite(
        ops=("aten.cosine_similarity.default",),
        rewrite=_with_defaults,
        reason="coremltools expects every argument, and torch.export leaves out those that have their default value",
    ),
)


def rewrite(graph: torch.fx.Graph) -> None:
    """Applies every rule to the calls of a graph, in place."""
    by_op = {op: rule for rule in op_rules.rules_of(Rewrite) if rule.is_in_force for op in rule.ops}
    for node in list(graph.nodes):
        rule = by_op.get(op_name(node.target)) if node.op == "call_function" else None
        if rule is not None:
            rule.rewrite(node)
    lower_rank(graph)
