"""Float32 islands: the ops of a float16 program that compute in float32.

An entry is a name, or a pattern with `*` and `?`. It names, of whatever it matches first:
  a MIL op type             softmax, reduce_mean
  a torch op                aten.softmax.int, aten.softmax, aten._softmax.default
  a module by its path      encoder.layers.0, encoder.layers.*.norm; everything inside belongs to it
  a module by its class     LayerNorm
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from coremltools.converters.mil.mil import Operation
from coremltools.converters.mil.mil.scope import ScopeSource
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from torch.export.exported_program import ExportedProgram


def _torch_names(target: Any) -> set[str]:
    if isinstance(target, EdgeOpOverload):
        target = target._op
    if not isinstance(target, torch._ops.OpOverload):
        return set()
    name = f"{target.namespace}.{target._schema.name.partition('::')[2]}"
    return {name, f"{name}.{target._overloadname}"}


def names_of(node: torch.fx.Node) -> frozenset[str]:
    """What an entry may call a node: its op, the modules around it, and their classes."""
    names = _torch_names(node.target)
    for path, kind in (node.meta.get("nn_module_stack") or {}).values():
        names.add(re.sub(r"^L\['self'\]\.?", "", str(path)))
        names.add(str(getattr(kind, "__name__", kind)).rpartition(".")[2])
    return frozenset(names - {""})


class Float32Islands:
    """Decides op by op, and remembers which entries matched nothing."""

    def __init__(self, entries: Iterable[str], program: ExportedProgram) -> None:
        self._patterns = {entry: re.compile(fnmatch.translate(entry)) for entry in entries}
        self._matched: set[str] = set()
        self._names: Mapping[int, frozenset[str]] = {
            node.meta["debug_handle"]: names_of(node)
            for node in program.graph.nodes
            if node.op == "call_function" and node.meta.get("debug_handle") is not None
        }

    def selector(self) -> Callable[[Operation], bool]:
        """For coremltools' FP16ComputePrecision: whether an op is cast to float16."""
        return lambda op: not self._is_island(op)

    def unmatched(self) -> list[str]:
        return sorted(self._patterns.keys() - self._matched)

    def _is_island(self, op: Operation) -> bool:
        names = {op.op_type}
        for handle in op.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE, ()):
            names |= self._names.get(handle, frozenset())
        matched = {entry for entry, pattern in self._patterns.items() if any(pattern.match(name) for name in names)}
        self._matched |= matched
        return bool(matched)
