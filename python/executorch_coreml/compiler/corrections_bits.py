"""Bitwise operations: of bools they are logical ones; of integers, those that arithmetic has."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.frontend.torch.utils import unify_inplace_and_functional
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from executorch_coreml.compiler.correction_table import arguments, constant, correction

_LOGICAL = {"bitwise_and": mb.logical_and, "bitwise_or": mb.logical_or, "bitwise_xor": mb.logical_xor}


@correction(*_LOGICAL, reason="coremltools has no conversion of bitwise or and exclusive or")
def bitwise(context: Any, node: Any) -> None:
    x, y = arguments(context, node, "self", "other")
    if not types.is_bool(x.dtype) or not types.is_bool(y.dtype):
        raise NotImplementedError("Core ML has no bitwise operations of integers")
    context.add(_LOGICAL[node.kind](x=x, y=y, name=node.name))


# By canonical name, of which an underscore at the end is taken for that of an operation in place. To the left they multiply, to the right they divide and round down.
_SHIFTS = {"__lshift_": mb.mul, "bitwise_left_shift": mb.mul, "__rshift_": mb.floor_div, "bitwise_right_shift": mb.floor_div}


@correction(*_SHIFTS, reason="coremltools has no conversion", where_missing=True)
def shift(context: Any, node: Any) -> None:
    """By a constant number of bits, of which int32 has 31 beside the sign."""
    x, bits = arguments(context, node, "self", "other")
    count = constant(bits, None)
    if count is None or np.ndim(count) or not 0 <= count < 31 or not types.is_int(x.dtype):
        raise NotImplementedError("integers are shifted by a constant of at most 30 bits")
    context.add(_SHIFTS[unify_inplace_and_functional(node.kind)](x=x, y=np.int32(2 ** int(count)), name=node.name))
