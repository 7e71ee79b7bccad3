"""Tells MIL what torch computes of a call whose every input is known.

MIL computes such values with NumPy while it makes the operations: it has other orders of equals in a sort than PyTorch and the engine have,
negates the least integer to sort in descending order, and rounds in other places. What the exported program means is what PyTorch computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from torch.utils import _pytree as pytree


class _Unknown(Exception):
    """An input has no known value, or one that is no tensor and no number."""


def _overload(target: Any) -> torch._ops.OpOverload | None:
    """The op of torch's own whose kernel gives the same result in every call; views move elements, which MIL does as well."""
    target = target._op if isinstance(target, EdgeOpOverload) else target
    if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
        return None
    if target.is_view or target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags:
        return None
    return target


def _known(node: torch.fx.Node, context: Any) -> Any:
    """What a node is known to be, as torch has it."""
    if node.name not in context:
        raise _Unknown
    var, expected = context[node.name], node.meta.get("val")
    if not isinstance(var, Var) or not (types.is_tensor(var.sym_type) or types.is_scalar(var.sym_type)) or var.val is None:
        raise _Unknown
    if isinstance(expected, torch.Tensor):
        return torch.from_numpy(np.array(var.val)).to(expected.dtype)
    if isinstance(expected, (int, float, bool, torch.SymInt, torch.SymFloat, torch.SymBool)):
        return np.asarray(var.val).item()
    raise _Unknown


def _value(var: Any, result: torch.Tensor, name: str) -> Any:
    """`var`, or a constant where torch's result is another. An integer that int32 cannot hold stays what it was made."""
    if not isinstance(var, Var) or var.val is None or types.builtin_to_string(var.dtype) not in ("fp16", "fp32", "int32", "bool"):
        return var
    dtype = types.nptype_from_builtin(var.dtype)
    computed = result.detach().double().numpy() if result.is_floating_point() else result.detach().numpy()
    with np.errstate(over="ignore"):
        fresh = computed.astype(dtype)
    if fresh.dtype == np.int32 and not np.array_equal(fresh, computed):
        return var
    if fresh.shape != np.shape(var.val) or np.array_equal(fresh, np.asarray(var.val), equal_nan=fresh.dtype.kind == "f"):
        return var
    return mb.const(val=fresh[()], name=name)


def told(value: Any, call: tuple[Any, Any, Any], context: Any, name: str) -> Any:
    """A converted call's value, with every part of it that is known as torch computes it; the value itself where MIL computes the same.

    Args:
        value: a var, or a list or tuple with vars.
        call: target, args and kwargs in the exported program.
        context: has the vars of the nodes among these.
        name: of the node; a var that is made has another.
    """
    target, args, kwargs = call
    parts = list(value) if isinstance(value, (list, tuple)) else [value]
    overload = _overload(target)
    nodes = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.fx.Node)]
    if overload is None or not nodes or not any(isinstance(part, Var) and part.val is not None for part in parts):
        return value
    try:
        known = {node: _known(node, context) for node in nodes}
    except _Unknown:
        return value
    args, kwargs = pytree.tree_map(lambda leaf: known[leaf] if isinstance(leaf, torch.fx.Node) else leaf, (args, kwargs))
    with torch.no_grad():
        made = overload(*args, **kwargs)
    results = list(made) if isinstance(made, (list, tuple)) else [made]
    if len(results) != len(parts) or not all(isinstance(result, torch.Tensor) for result in results):
        return value
    fresh = [_value(part, result, f"{name}_known_{index}") for index, (part, result) in enumerate(zip(parts, results, strict=True))]
    if all(part is before for part, before in zip(fresh, parts, strict=True)):
        return value
    return type(value)(fresh) if type(value) in (list, tuple) else fresh[0]
