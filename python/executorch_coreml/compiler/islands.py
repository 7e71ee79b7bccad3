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

import torch
from coremltools.converters.mil.mil import Operation
from coremltools.converters.mil.mil.scope import ScopeSource
from torch.export.exported_program import ExportedProgram

from executorch_coreml.node_facts import op_name, scopes


def names_of(node: torch.fx.Node) -> frozenset[str]:
    """What an entry may call a node: its op, the modules around it, and their classes."""
    op = op_name(node.target)
    names = {op, op.rpartition(".")[0]}
    for scope in scopes(node):
        names |= {scope.path, scope.type_name.rpartition(".")[2]}
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
