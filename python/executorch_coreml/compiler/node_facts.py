"""Facts about a node of an FX graph, the same for the ATen and for the edge dialect."""

from __future__ import annotations

from typing import Any

import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload


def op_name(target: Any) -> str:
    """`aten.add.Tensor`, `dim_order_ops._clone_dim_order.default`; for other callables their own name."""
    if isinstance(target, EdgeOpOverload):
        target = target._op
    if isinstance(target, torch._ops.OpOverload):
        return f"{target.namespace}.{target._schema.name.partition('::')[2]}.{target._overloadname}"
    return getattr(target, "__name__", str(target))


def model_line(node: Any) -> str:
    """`"file.py", line 12, in forward`: the innermost line of the model that a node comes from; empty where it is not known."""
    lines = [line.strip() for line in str(node.meta.get("stack_trace") or "").splitlines() if line.strip().startswith("File ")]
    return lines[-1].removeprefix("File ") if lines else ""
