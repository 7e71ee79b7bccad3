"""Ops that torch itself takes apart to others in every program, and what they consist of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch._export.utils import _get_decomp_for_cia
from torch._guards import detect_fake_mode
from torch._ops import OpOverload
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


def is_composite(op: Any) -> bool:
    return isinstance(op, OpOverload) and torch._C._dispatch_has_kernel_for_dispatch_key(str(op._name), "CompositeImplicitAutograd")


def decomposition(op: OpOverload) -> Callable[..., Any]:
    """What torch takes a composite op apart by, for a table of decompositions; the ops that it calls may be composite again."""
    found: Callable[..., Any] = _get_decomp_for_cia(op)
    return found


class _Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Which ops are called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func)
        return func(*args, **(kwargs or {}))


def evaluated(
    node: torch.fx.Node,
    given: Callable[[Any], Any] = lambda value: value,
    watch: contextlib.AbstractContextManager[Any] | None = None,
) -> Any:
    """What a call gives of what `given` makes of the values of its arguments, without any elements; None where that cannot be seen before the
    program is run. watch: sees what the call does."""
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda source: source.meta.get("val"))
    mode = detect_fake_mode(pytree.tree_leaves((args, kwargs)))
    with contextlib.ExitStack() as stack:
        if mode is not None and mode.shape_env is not None:  # The program learns nothing of this call.
            stack.enter_context(mode.shape_env.ignore_fresh_unbacked_symbols())
            stack.enter_context(mode.shape_env.suppress_guards())
        stack.enter_context(mode or contextlib.nullcontext())
        try:
            args, kwargs = given((args, kwargs))
            stack.enter_context(watch or contextlib.nullcontext())
            return node.target(*args, **kwargs)  # type: ignore[operator]
        except Exception:  # Of what depends on data.
            return None


def ops_of(node: torch.fx.Node) -> set[Any]:
    """The ops that a call of a composite one consists of; none where they cannot be seen before the program is run."""
    calls = _Calls()
    return calls.seen if evaluated(node, watch=calls) is not None else set()
