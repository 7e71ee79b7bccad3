"""Tells MIL the extents that the exported program knows and MIL's shape inference does not.

MIL has no relations between extents: `cat([x, x.new_zeros(32 - n)])` is 32 long in the exported program, and a new unknown in MIL. The trial of a
call (trial.py) takes the exported types, so a call that needs a fixed extent was accepted for one; it has to find one when the partition is
converted, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var
from coremltools.converters.mil.mil.types.symbolic import is_symbolic


def _is_less_known(var: Var, expected: torch.Tensor) -> bool:
    return any(is_symbolic(actual) and isinstance(extent, int) for actual, extent in zip(var.shape, expected.shape, strict=True))


def _reshaped(var: Var, expected: torch.Tensor, name: str) -> Var:
    """The same elements in the shape that is known; an extent that nobody knows is read from the value itself."""
    extents = [
        extent if isinstance(extent, int) else None if is_symbolic(actual) else int(actual)
        for actual, extent in zip(var.shape, expected.shape, strict=True)
    ]
    if None not in extents:
        return mb.reshape(x=var, shape=np.array(extents, np.int32), name=name)
    shape = mb.shape(x=var)
    parts = [
        mb.slice_by_index(x=shape, begin=[axis], end=[axis + 1]) if extent is None else np.array([extent], np.int32)
        for axis, extent in enumerate(extents)
    ]
    return mb.reshape(x=var, shape=mb.concat(values=parts, axis=0), name=name)


def told(value: Any, expected: Any, name: str) -> Any:
    """A converted node's value with every extent that its `meta["val"]` knows; the value itself where MIL knows as much.

    Args:
        value: a var, or a list or tuple with vars.
        expected: the node's `meta["val"]`; `value` agrees with it (mil_types.py).
        name: of the node; a var that is made has another.
    """
    if isinstance(expected, torch.Tensor) and isinstance(value, Var):
        # To a reshape of MIL, 0 is the extent that the value has.
        if value.rank != expected.dim() or 0 in tuple(expected.shape) or not _is_less_known(value, expected):
            return value
        return _reshaped(value, expected, f"{name}_of_known_extents")
    if isinstance(expected, (list, tuple)) and isinstance(value, (list, tuple)) and len(value) == len(expected):
        parts = [told(part, one, f"{name}_{index}") for index, (part, one) in enumerate(zip(value, expected, strict=True))]
        if any(part is not before for part, before in zip(parts, value, strict=True)):
            return type(value)(parts) if type(value) in (list, tuple) else value
    return value
