"""Computes with torch what is computed of constants alone.

MIL computes such values with NumPy while it makes the operations: it has other orders of equals in a sort than PyTorch and the engine have,
negates the least integer to sort in descending order, rounds in other places, and raises at integers to negative powers. What the exported program
means is what PyTorch computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from torch.utils import _pytree as pytree

from executorch_coreml.compiler import mil_types

# A result may have so many elements, or as many as an input: a program does not get larger by what is computed before it runs.
_SMALL = 1 << 14
# Ops that hand elements on as they are, which MIL's own constants do as well: weights, most of all.
_MOVES = ("alias", "clone", "detach", "lift_fresh")


class _Unknown(Exception):
    """An input has no known value, or one that is no tensor and no number."""


def _overload(target: Any) -> torch._ops.OpOverload | None:
    """The op of torch's own that computes, the same in every call."""
    target = target._op if isinstance(target, EdgeOpOverload) else target
    if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
        return None
    name = target._schema.name.removeprefix("aten::")
    if target.is_view or name.endswith("_copy") or name in _MOVES:
        return None
    return None if target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags else target


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


def _elements(value: Any) -> Iterator[float]:
    """Of each tensor of a node's `meta["val"]`; infinitely many of one whose extents are not fixed."""
    for part in value if isinstance(value, (list, tuple)) else [value]:
        fixed = isinstance(part, torch.Tensor) and all(isinstance(extent, int) for extent in part.shape)
        yield part.numel() if fixed else float("inf")


def _array(result: torch.Tensor) -> Any:
    """As MIL has it; None for a dtype that MIL has not, and an integer that int32 cannot hold."""
    dtype = mil_types.mil_dtype(result.dtype)
    if dtype is None:
        return None
    computed = (result.float() if result.dtype is torch.bfloat16 else result).numpy()  # NumPy has no bfloat16.
    with np.errstate(over="ignore"):
        made = computed.astype(types.nptype_from_builtin(types.string_to_builtin(dtype)))
    return None if made.dtype == np.int32 and not np.array_equal(made, computed) else made[()]


def computed(call: tuple[Any, Any, Any], expected: Any, context: Any, name: str) -> Any:
    """The value of a call whose every input is known, as a constant or a tuple of them; None of another call, and where that would be large.

    Args:
        call: target, args and kwargs in the exported program.
        expected: the node's `meta["val"]`.
        context: has the vars of the nodes among the arguments.
        name: of the node.
    """
    target, args, kwargs = call
    overload = _overload(target)
    nodes = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.fx.Node)]
    if overload is None or not nodes:
        return None
    try:
        known = {node: _known(node, context) for node in nodes}
    except _Unknown:
        return None
    largest = max((value.numel() for value in known.values() if isinstance(value, torch.Tensor)), default=0)
    if any(elements > max(largest, _SMALL) for elements in _elements(expected)):
        return None
    args, kwargs = pytree.tree_map(lambda leaf: known[leaf] if isinstance(leaf, torch.fx.Node) else leaf, (args, kwargs))
    with torch.no_grad():
        made = overload(*args, **kwargs)
    results = list(made) if isinstance(made, (list, tuple)) else [made]
    arrays = [_array(result.detach()) if isinstance(result, torch.Tensor) else None for result in results]
    if any(array is None for array in arrays):
        return None
    if not isinstance(made, (list, tuple)):
        return mb.const(val=arrays[0], name=name)
    return tuple(mb.const(val=array, name=f"{name}_{index}") for index, array in enumerate(arrays))
