"""The order of a tensor's dimensions in memory.

Core ML's tensors are contiguous, and ExecuTorch's kernels take contiguous ones and channels-last ones. torch's results come in other orders, too,
though nobody asked for them: those of an LSTM whose batch comes first, or of `einsum`, are what is left of a transposition inside the op. ExecuTorch
takes over the order for the results of delegates and of its kernels, which fail then when the program runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload
from torch.export.exported_program import ExportedProgram
from torch.utils import _pytree as pytree

from executorch_coreml.partition import composites
from executorch_coreml.partition.node_view import graph_modules, has_other_dim_order, tensors


def has_other_layouts(program: ExportedProgram) -> bool:
    """Whether any tensor of a program is meant to be laid out otherwise than contiguously: an input, a weight or the result of a request."""
    for node in program.graph.nodes:
        if node.op == "placeholder" and any(has_other_dim_order(tensor) for tensor in tensors(node.meta.get("val"))):
            return True
        if node.kwargs.get("memory_format") not in (None, torch.contiguous_format, torch.preserve_format):
            return True
        order = node.kwargs.get("dim_order")
        if order is not None and list(order) != sorted(order):
            return True
    return False


def _contiguous(value: Any) -> Any:
    return value.contiguous() if isinstance(value, torch.Tensor) else value


def _lays_out(node: torch.fx.Node) -> bool:
    """Whether a call of an ATen program gives results in an order of its own, be its tensors contiguous: in Edge programs those of views are."""
    op = node.target
    if not isinstance(op, OpOverload) or any(returned.alias_info for returned in op._schema.returns):
        return False
    if not any(has_other_dim_order(tensor) for tensor in tensors(node.meta.get("val"))):
        return False
    results = composites.evaluated(node, lambda value: pytree.tree_map(_contiguous, value))
    return any(has_other_dim_order(tensor) for tensor in tensors(results))


def with_contiguous_results(program: ExportedProgram) -> ExportedProgram:
    """The ATen program in which such results are copied to contiguous ones, which costs nothing inside Core ML; itself where it has none.

    A program that asks for other orders anywhere stays as it is.
    """

    def found(program: ExportedProgram) -> list[torch.fx.Node]:
        return [node for module in graph_modules(program) for node in module.graph.nodes if _lays_out(node)]

    if has_other_layouts(program) or not found(program):
        return program
    program = program.run_decompositions({})  # The graph of the user's own program stays as it is.
    for node in found(program):
        results = [node] if isinstance(node.meta["val"], torch.Tensor) else list(node.users)
        for result in results:
            value = result.meta["val"]
            if not (isinstance(value, torch.Tensor) and has_other_dim_order(value)):
                continue
            users = [user for user in result.users if user.op == "call_function"]
            with result.graph.inserting_after(result):
                copy = result.graph.call_function(
                    torch.ops.aten.clone.default, (result,), {"memory_format": torch.contiguous_format}
                )
            copy.meta = {**result.meta, "val": value.contiguous()}
            for user in users:
                user.replace_input_with(result, copy)
    for module in graph_modules(program):
        module.recompile()
    return program
