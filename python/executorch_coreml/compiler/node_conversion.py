"""Converts the calls of a graph one by one, and asserts of each what it became.

coremltools looks converters up in one registry for everybody in the process. Nothing is replaced there: `prepare` gives every call of a graph
one target of our own, whose converter, registered once, finds the converter of the call in our table (correction_table.py), or else
coremltools', runs it, and compares the MIL value with what the exported program says of the node (mil_types.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
from coremltools.converters.mil.frontend.torch.utils import sanitize_op_kind
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from executorch_coreml.compiler import corrections, known_elements, known_extents, known_values, mil_types
from executorch_coreml.compiler.correction_table import EVERYWHERE, OnDevices
from executorch_coreml.node_facts import op_name, source_line

_NAME = "coreml_delegate::call"
# Keys of a node's meta: coremltools' canonical name of the op, and torch's.
_KIND = "coreml_delegate_kind"
_OP = "coreml_delegate_op"
# The call as the exported program has it: target, args, kwargs.
_CALLED = "coreml_delegate_called"
# Which rows about devices hold.
_GUARDED = "coreml_delegate_guarded"


class ConversionError(ValueError):
    """A call that was accepted became something else than PyTorch says. The message names the node, the op, the line and both types."""


class _Call:
    """The target of every prepared call."""

    __name__ = _NAME

    def name(self) -> str:
        return _NAME

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a prepared graph can be converted, but not run")


_CALL = _Call()


def kind_of(target: Any) -> str:
    """The canonical name by which coremltools knows an op: lower case, without `aten` and `default`."""
    name = target.name() if hasattr(target, "name") else getattr(target, "__name__", str(target))
    return str(sanitize_op_kind(name() if callable(name) else name))


def converter_of(kind: str, guarded: frozenset[OnDevices] = EVERYWHERE) -> Callable[[Any, Any], None] | None:
    """The converter of an op by its canonical name: ours, or coremltools'; None where there is none."""
    ours = corrections.converter_of(kind, guarded)
    if ours is not None:
        return ours
    theirs: Callable[[Any, Any], None] | None = _TORCH_OPS_REGISTRY.get_func(kind)
    return theirs


def prepare(graph: torch.fx.Graph, guarded: frozenset[OnDevices]) -> None:
    """Hands the conversion of a graph's calls to this module. The graph can only be converted from then on."""
    for node in graph.nodes:
        if node.op == "call_function" and node.target is not _CALL:
            named = {_KIND: kind_of(node.target), _OP: op_name(node.target), _GUARDED: guarded}
            node.meta = {**node.meta, **named, _CALLED: (node.target, node.args, node.kwargs)}
            node.target = _CALL


def _convert(context: Any, node: Any) -> None:
    kind = node.meta[_KIND]
    node.kind = kind
    converter = converter_of(kind, node.meta[_GUARDED])
    if converter is None:
        raise NotImplementedError(f"Neither coremltools nor this delegate converts {node.meta[_OP]} (node {node.name}).")
    known = known_values.computed(node.meta[_CALLED], node.meta.get("val"), context, node.name)
    if known is not None:
        context.add(known, torch_name=node.name)
    else:
        converter(context, node)
    if _TORCH_OPS_REGISTRY.is_inplace_op(kind):
        context.process_inplace_op(node)
    result = context[node.name]
    if isinstance(result, Var) and result.op is None:
        # An input as it is. Were it an output of the partition too, both would have one name.
        context.add(mb.identity(x=result, name=node.name), torch_name=node.name, override=True)
    wrong = next(mil_types.mismatches(context[node.name], node.meta.get("val")), None)
    if wrong is not None:
        line = source_line(node)
        raise ConversionError(
            f"The conversion of node {node.name} ({node.meta[_OP]}{f', at {line}' if line else ''}) made {wrong}. Keep it outside with "
            f"skip_ops_for_coreml_delegation=[{node.meta[_OP].removesuffix('.default')!r}], and please report it."
        )
    known_elements.forget(context[node.name])
    value = known_extents.told(context[node.name], node.meta.get("val"), node.name)
    if value is not context[node.name]:
        context.add(value, torch_name=node.name, override=True)


_TORCH_OPS_REGISTRY.set_func_by_name(_convert, _NAME)
