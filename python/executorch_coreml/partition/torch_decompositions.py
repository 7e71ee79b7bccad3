"""What ExecuTorch takes apart, and what comes of it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch._ops import OpOverload


@functools.cache
def decomposable() -> frozenset[OpOverload]:
    """The ops that ExecuTorch takes apart unless told otherwise. Cached: torch takes a third of a second to list them."""
    table: Any = torch.export.default_decompositions()
    return frozenset(table.keys())


def table_but(kept: Iterable[OpOverload]) -> Any:
    """torch's decompositions without those of these ops."""
    table: Any = torch.export.default_decompositions()
    for op in kept:
        table.pop(op, None)
    return table


def is_view(op: OpOverload) -> bool:
    arguments = op._schema.arguments
    alias = arguments[0].alias_info if arguments else None
    return alias is not None and not alias.is_write


class _Call(torch.nn.Module):
    def __init__(self, node: torch.fx.Node) -> None:
        super().__init__()
        self._node = node

    def forward(self, *tensors: torch.Tensor) -> Any:
        given = iter(tensors)
        values = {source: next(given) if _is_tensor(source) else source.meta.get("val") for source in self._node.all_input_nodes}
        args, kwargs = torch.fx.node.map_arg((self._node.args, self._node.kwargs), lambda source: _fixed(values[source]))
        return self._node.target(*args, **kwargs)  # type: ignore[operator]


def _is_tensor(node: torch.fx.Node) -> bool:
    return isinstance(node.meta.get("val"), torch.Tensor)


def _fixed(value: Any) -> Any:
    """An extent of the example for one that may vary."""
    return value.node.hint if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)) else value


def parts_of(node: torch.fx.Node, kept: Iterable[OpOverload]) -> frozenset[OpOverload]:
    """The kept ops that a call of an ATen program is taken apart to, in part. All of them where that cannot be seen from the call alone."""
    kept = frozenset(kept)
    sources = [source.meta["val"] for source in node.all_input_nodes if _is_tensor(source)]
    if not sources:
        return frozenset()  # What makes a tensor of numbers is taken apart to what makes one of more numbers.
    try:
        tensors = tuple(torch.zeros([_fixed(extent) for extent in value.shape], dtype=value.dtype) for value in sources)
        program = torch.export.export(_Call(node).eval(), tensors).run_decompositions(table_but(kept))
    except Exception:  # Indices that are not all zeros, or an op that is no function of tensors.
        return kept
    return frozenset(part.target for part in program.graph.nodes if part.op == "call_function") & kept
