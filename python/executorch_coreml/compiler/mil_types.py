"""Whether a MIL value is what the exported program says of a node: dtype, rank and the extents that are known.

Every converted node is held to this (node_conversion.py). What follows a node was accepted for the types that torch gives it, so a value of
another type is a wrong number somewhere behind it, even where nothing raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.types.symbolic import is_symbolic

from executorch_coreml.dtypes import BY_TORCH


def mil_dtype(dtype: torch.dtype) -> str | None:
    """The MIL name of the dtype that stands for torch's; None where there is none."""
    return BY_TORCH[dtype].mil if dtype in BY_TORCH else None


def _shape(extents: Any) -> str:
    return ", ".join("?" if is_symbolic(extent) or isinstance(extent, torch.SymInt) else str(int(extent)) for extent in extents)


def of_tensor(tensor: torch.Tensor) -> str:
    """`int32[4, ?]`: what MIL should make of a tensor. Extents that are not fixed are `?`."""
    return f"{mil_dtype(tensor.dtype) or tensor.dtype}[{_shape(tensor.shape)}]"


def of_var(var: Var) -> str:
    return f"{types.builtin_to_string(var.dtype)}[{_shape(var.shape)}]"


def _is_mismatch(var: Var, tensor: torch.Tensor) -> bool:
    if types.builtin_to_string(var.dtype) != mil_dtype(tensor.dtype) or len(var.shape) != tensor.dim():
        return True
    for actual, expected in zip(var.shape, tensor.shape, strict=True):
        if is_symbolic(actual):
            continue  # MIL may know less.
        if not isinstance(expected, int) or int(actual) != expected:
            return True
    return False


def mismatches(value: Any, expected: Any) -> Iterator[str]:
    """What is wrong with the MIL value of a node, a var or a sequence of them; `expected` is its `meta["val"]`.

    Numbers (SymInt and the like) are not compared: coremltools has int32 scalars for them.
    """
    if isinstance(expected, torch.Tensor):
        if not isinstance(value, Var) or not (types.is_tensor(value.sym_type) or types.is_scalar(value.sym_type)):
            yield f"not a tensor, but {type(value).__name__}, where PyTorch has {of_tensor(expected)}"
        elif _is_mismatch(value, expected):
            yield f"{of_var(value)}, where PyTorch has {of_tensor(expected)}"
    elif isinstance(expected, (list, tuple)):
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        for index, part in enumerate(expected):
            # A converter need not make the results that nothing reads.
            if isinstance(part, torch.Tensor) and index < len(values) and values[index] is not None:
                yield from mismatches(values[index], part)
