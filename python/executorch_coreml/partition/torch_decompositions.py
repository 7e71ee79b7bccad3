"""What ExecuTorch takes apart, and what comes of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from executorch.exir.tracer import _default_decomposition_table
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


@functools.cache
def decomposable() -> frozenset[OpOverload]:
    """The ops that torch takes apart unless told otherwise. Cached: torch takes a third of a second to list them."""
    table: Any = torch.export.default_decompositions()
    return frozenset(table.keys())


def table_but(kept: Iterable[OpOverload]) -> Any:
    """ExecuTorch's decompositions without those of these ops."""
    table: Any = _default_decomposition_table()
    for op in kept:
        table.pop(op, None)
    return table


def is_view(op: OpOverload) -> bool:
    arguments = op._schema.arguments
    alias = arguments[0].alias_info if arguments else None
    return alias is not None and not alias.is_write


@functools.cache
def functions() -> dict[OpOverload, Callable[..., Any]]:
    """What ExecuTorch takes ops apart by: torch's decompositions, and some more."""
    table: Any = _default_decomposition_table()
    return dict(table.items())


def is_functional(op: OpOverload) -> bool:
    """Whether an op is left as it is by functionalization: it makes new tensors and writes to none."""
    return not op._schema.is_mutable and not is_view(op)


def form_of(node: torch.fx.Node) -> str:
    """The same for calls of one op with like arguments."""
    arguments = torch.fx.node.map_arg((node.args, node.kwargs), lambda source: f"{getattr(source.meta.get('val'), 'dtype', '')}")
    return f"{node.target} {arguments}"


class _Parts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes every call apart as an export does, but for those of the kept ops, which it notes; and what it cannot take apart."""

    def __init__(self, kept: frozenset[OpOverload]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: set[OpOverload] = set()
        self.leaves: set[OpOverload] = set()
        self._kept = kept
        # Inside a decomposition an op may be called in place; the export makes the other form of it.
        self._kept_of = {op._schema.name: op for op in kept}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kept = func if func in self._kept else self._kept_of.get(func._schema.name.removesuffix("_"))
        if kept is not None:
            self.found.add(kept)
            return func(*args, **kwargs)
        function = functions().get(func)
        if function is not None:
            with self:
                return function(*args, **kwargs)
        if func.namespace == "prim":  # Questions about a tensor, such as its device.
            return func(*args, **kwargs)
        with self:
            apart = func.decompose(*args, **kwargs)
        if apart is not NotImplemented:
            return apart
        self.leaves.add(func)
        return func(*args, **kwargs)


def _fixed(value: Any) -> Any:
    """An extent of the example for one that may vary."""
    return value.node.hint if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)) else value


def _taken_apart(node: torch.fx.Node, kept: frozenset[OpOverload]) -> _Parts | None:
    """What becomes of a call of an ATen program; None where that cannot be seen from the call alone.

    The call is made once more, with tensors that have no elements in memory.
    """
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
        return None
    return parts


def parts_of(node: torch.fx.Node, kept: Iterable[OpOverload]) -> frozenset[OpOverload]:
    """The kept ops that a call of an ATen program is taken apart to, in part. All of them where that cannot be seen from the call alone."""
    kept = frozenset(kept)
    parts = _taken_apart(node, kept)
    return kept if parts is None else frozenset(parts.found)


def seen_parts_of(node: torch.fx.Node, kept: Iterable[OpOverload]) -> frozenset[OpOverload]:
    """As parts_of(), and none where that cannot be seen."""
    parts = _taken_apart(node, frozenset(kept))
    return frozenset(parts.found) if parts is not None else frozenset()


def leaves_of(node: torch.fx.Node, kept: Iterable[OpOverload]) -> frozenset[OpOverload]:
    """What a call of an ATen program is taken apart to beside the kept ops; nothing where that cannot be seen from the call alone."""
    parts = _taken_apart(node, frozenset(kept))
    return frozenset(parts.leaves) if parts is not None else frozenset()
