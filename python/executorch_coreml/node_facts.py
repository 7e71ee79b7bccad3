"""Facts about a node of an FX graph, the same for the ATen and for the edge dialect, and for nodes of a conversion that carry its `meta`."""

from __future__ import annotations

import dataclasses
import operator
import re
from typing import Any

import torch

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)\n\s*(?P<code>[^\n]*)')
# Frames of the libraries, and of code that torch generated, are not the user's model.
_LIBRARIES = re.compile(r"/(site|dist)-packages/(torch|torchao|executorch|transformers/utils)/|/executorch/exir/|<eval_with_key>")
# Parts of a module's path that torch.export adds: `L['self'].`, and `@1` behind a module's second call.
_ADDED = re.compile(r"^L\['self'\]\.?|@\d+")


@dataclasses.dataclass(frozen=True)
class SourceLine:
    """A line of the user's model."""

    file: str
    line: int
    function: str
    code: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}, in {self.function}: {self.code}"


@dataclasses.dataclass(frozen=True)
class Scope:
    """A module that an op was called in: its path, empty for the model itself, and its class's full name."""

    path: str
    type_name: str


def op_name(target: Any) -> str:
    """`aten.add.Tensor`, `dim_order_ops._clone_dim_order.default`; for other callables their own name."""
    # An op of the edge dialect holds ATen's; so does that, but what ATen's holds is no op.
    op = target if isinstance(target, torch._ops.OpOverload) else getattr(target, "_op", target)
    if isinstance(op, torch._ops.OpOverload):
        return f"{op.namespace}.{op._schema.name.partition('::')[2]}.{op._overloadname}"
    return str(getattr(target, "__name__", target))


def computing_op(node: torch.fx.Node) -> str:
    """The name of the op that computes a node's value; of an item, that of the op whose result it is part of."""
    while node.target is operator.getitem and isinstance(node.args[0], torch.fx.Node):
        node = node.args[0]
    return op_name(node.target)


def source_line(node: Any) -> SourceLine | None:
    """The innermost line of the user's own code that made a node; None when torch did not record it."""
    frames = [
        SourceLine(frame["file"], int(frame["line"]), frame["function"], frame["code"].strip())
        for frame in _FRAME.finditer(node.meta.get("stack_trace") or "")
    ]
    own = [frame for frame in frames if not _LIBRARIES.search(frame.file)]
    return (own or frames)[-1] if frames else None


def type_name(what: Any) -> str:
    """The full name of a class, which torch.export may have replaced by its name already."""
    return what if isinstance(what, str) else f"{what.__module__}.{what.__qualname__}"


def scopes(node: torch.fx.Node) -> list[Scope]:
    """The modules whose forward called an op, innermost first. Every call of a module has the same path."""
    stack = node.meta.get("nn_module_stack") or {}
    return [Scope(_ADDED.sub("", str(path)), type_name(kind)) for path, kind in reversed(stack.values())]


def module_path(node: torch.fx.Node) -> str:
    """The path of the innermost module that made a node, such as `encoder.layers.0`; empty for the model itself."""
    found = scopes(node)
    return found[0].path if found else ""
