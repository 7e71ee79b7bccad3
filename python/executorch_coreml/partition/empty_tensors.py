"""Tensors without elements, which Core ML has not and programs need not."""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload
from torch.export.exported_program import ExportedProgram

from executorch_coreml.partition import buffers
from executorch_coreml.partition.node_view import graph_modules, tensors

aten = torch.ops.aten
# The op that writes a part of a tensor -> the one that reads it, with the same arguments behind the part.
_READS = {aten.slice_scatter.default: aten.slice.Tensor, aten.select_scatter.default: aten.select.int}


def _has_none(value: Any) -> bool:
    return any(isinstance(extent, int) and extent == 0 for tensor in tensors(value) for extent in tensor.shape)


def _is_nothing(node: torch.fx.Node) -> bool:
    """Whether a value has the shape [0], which a concatenation of any rank leaves out."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and tuple(value.shape) == (0,)


def _writes_nothing(node: torch.fx.Node) -> bool:
    """Whether a call writes no elements, be it in place or to a copy."""
    if not isinstance(node.target, OpOverload) or not node.args or not isinstance(node.args[0], torch.fx.Node):
        return False
    written = node.args[1] if node.target in _READS else node.args[0]
    is_write = node.target in _READS or node.target._schema.is_mutable
    return is_write and isinstance(written, torch.fx.Node) and _has_none(written.meta.get("val"))


def _changes_nothing(node: torch.fx.Node) -> bool:
    """Whether a call writes to a copy of a tensor no elements, or those that are there."""
    if node.target not in _READS:
        return False
    source, part, *place = node.args
    is_what_is_there = (
        isinstance(part, torch.fx.Node)
        and part.target is _READS[node.target]
        and list(part.args) == [source, *place]
        and part.kwargs == node.kwargs
    )
    return is_what_is_there or _writes_nothing(node)


def _without_writes(graph: torch.fx.Graph) -> None:
    for node in graph.nodes:
        if _changes_nothing(node):
            node.replace_all_uses_with(node.args[0])


def without_empty_tensors(program: ExportedProgram) -> ExportedProgram:
    """The ATen program without constants of no elements, which transformers' caches start from and concatenate to, and without writes of none,
    which masks of shifted windows have along the dimensions that are not shifted; itself where it has neither.

    ExecuTorch cannot load a .pte from a file whose constants are all empty.
    """
    names = program.graph_signature.inputs_to_lifted_tensor_constants
    empty = {name for name, target in names.items() if getattr(program.constants.get(target), "numel", lambda: 1)() == 0}
    if not empty and not any(_writes_nothing(node) for module in graph_modules(program) for node in module.graph.nodes):
        return program
    program = program.run_decompositions({})  # The graph of the user's own program stays as it is.
    for node in program.graph.find_nodes(op="call_function", target=aten.cat.default):
        parts: Any = node.args[0]
        node.update_arg(0, [part for part in parts if not _is_nothing(part)] or parts)
    for module in graph_modules(program):
        _without_writes(module.graph)
        module.graph.eliminate_dead_code()
        module.recompile()
    buffers.drop(program, {node.name for node in program.graph.nodes if node.name in empty and not node.users})
    return program
