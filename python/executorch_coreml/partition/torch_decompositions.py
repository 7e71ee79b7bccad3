"""What ExecuTorch takes apart, and what comes of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


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


@functools.cache
def _functions() -> dict[OpOverload, Callable[..., Any]]:
    table: Any = torch.export.default_decompositions()
    return dict(table.items())


class _Parts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes every call apart as an export does, but for those of the kept ops, which it notes."""

    def __init__(self, kept: frozenset[OpOverload]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: set[OpOverload] = set()
        self._kept = kept
        # Inside a decomposition an op may be called in place; the export makes the other form of it.
        self._kept_of = {op._schema.name: op for op in kept}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kept = func if func in self._kept else self._kept_of.get(func._schema.name.removesuffix("_"))
        if kept is not None:
            self.found.add(kept)
            return func(*args, **kwargs)
        function = _functions().get(func)
        if function is not None:
            with self:
                return function(*args, **kwargs)
        if func.namespace == "prim":  # Questions about a tensor, such as its device.
            return func(*args, **kwargs)
        with self:
            apart = func.decompose(*args, **kwargs)
        return func(*args, **kwargs) if apart is NotImplemented else apart


def _fixed(value: Any) -> Any:
    """An extent of the example for one that may vary."""
    return value.node.hint if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)) else value


def parts_of(node: torch.fx.Node, kept: Iterable[OpOverload]) -> frozenset[OpOverload]:
    """The kept ops that a call of an ATen program is taken apart to, in part. All of them where that cannot be seen from the call alone.

    The call is made once more, with tensors that have no elements in memory.
    """
    kept = frozenset(kept)
    parts = _Parts(kept)
    try:
        # Not those of the program, whose symbols would take note of what is asked of them.
        with FakeTensorMode():
            values = {
                source: torch.empty_strided(
                    [_fixed(e) for e in value.shape], [_fixed(s) for s in value.stride()], dtype=value.dtype
                )
                if isinstance(value, torch.Tensor)
                else _fixed(value)
                for source, value in ((source, source.meta.get("val")) for source in node.all_input_nodes)
            }
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            # Above autograd's keys an op without a kernel of its own would be taken apart before the mode saw it.
            with torch._C._AutoDispatchBelowAutograd(), parts:
                node.target(*args, **kwargs)  # type: ignore[operator]
    except Exception:  # Elements are asked for, or a list of tensors is.
        return kept
    return frozenset(parts.found)
