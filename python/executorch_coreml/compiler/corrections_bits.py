"""Bitwise operations: of bools they are logical ones. Shifts of integers are arithmetic (partition/refused_ops.py)."""

from __future__ import annotations

from typing import Any

from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from executorch_coreml.compiler.correction_table import arguments, correction

_LOGICAL = {"bitwise_and": mb.logical_and, "bitwise_or": mb.logical_or, "bitwise_xor": mb.logical_xor}


@correction(*_LOGICAL, reason="coremltools has no conversion of bitwise or and exclusive or")
def bitwise(context: Any, node: Any) -> None:
    x, y = arguments(context, node, "self", "other")
    if not types.is_bool(x.dtype) or not types.is_bool(y.dtype):
        raise NotImplementedError("Core ML has no bitwise operations of integers")
    context.add(_LOGICAL[node.kind](x=x, y=y, name=node.name))
