"""Extents that only a run knows (unbacked symbols), as torch counts them while it traces a program."""

from __future__ import annotations

from torch._guards import detect_fake_mode
from torch.export.exported_program import ExportedProgram

from executorch_coreml.partition.node_view import graph_modules


def forget_pending(program: ExportedProgram) -> None:
    """Nothing is traced now, so no symbol waits to be the extent of a result.

    ExecuTorch's passes compute each call again and leave the symbols of it waiting in the program that the user exported, of which the next
    lowering would say that a call has lost them (PendingUnbackedSymbolNotFound).
    """
    mode = detect_fake_mode([node.meta.get("val") for module in graph_modules(program) for node in module.graph.nodes])
    if mode is not None and mode.shape_env is not None:
        mode.shape_env.pending_fresh_unbacked_symbols.clear()
