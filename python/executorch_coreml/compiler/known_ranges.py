"""What values the integers of a MIL program can have."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.types.symbolic import is_symbolic

INT16 = (-(2**15), 2**15 - 1)
UINT16 = (0, 2**16 - 1)
_RANGES = {"bool": (0, 1), "int8": (-(2**7), 2**7 - 1), "uint8": (0, 2**8 - 1), "int16": INT16, "uint16": UINT16}
# Operations whose results are some of the values of their `x`.
_SELECTS = (
    "expand_dims",
    "gather",
    "gather_along_axis",
    "gather_nd",
    "identity",
    "reshape",
    "reverse",
    "slice_by_index",
    "squeeze",
    "transpose",
)


def known_range(var: Var | None) -> tuple[int, int] | None:
    """The least and the largest value that an int32 var can have, where its operation tells."""
    if var is None or var.op is None:
        return None
    op = var.op
    if var.val is not None:
        return (int(np.min(var.val)), int(np.max(var.val))) if np.size(var.val) else (0, 0)
    if op.op_type == "cast":
        return _RANGES.get(types.builtin_to_string(op.x.dtype))
    if op.op_type in ("reduce_argmax", "reduce_argmin", "argsort") or (op.op_type == "topk" and var in op.outputs[1:]):
        extent = op.x.shape[op.axis.val]
        return None if is_symbolic(extent) else (0, max(int(extent) - 1, 0))
    return known_range(op.x) if op.op_type in _SELECTS else None
