"""The floats of a float16 program that are computed from integers and stay float32.

Angles: a rotary embedding turns by `position * frequency`, a time step's embedding likewise. float16 has eleven bits: an angle of 1,000 is off by up
to a quarter of a radian in it, so that its sine is any number, whatever the position. The integers are exact, the frequencies are constants, and the
sine is at most 1: what lies between is kept as it is, and float16 begins behind the sine.

Scaled integers: `i / 255` or `(i - mean) / deviation`. float16 has no number above 65504 and not every integer above 2048, and what they are scaled
to is small: float16 begins behind the scale. Integers that are known to be small need that not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from coremltools.converters.mil.mil import Block, Operation, Program, Var, types

from executorch_coreml.compiler.known_ranges import known_range

_WAVES = frozenset({"cos", "sin"})
# What an angle or a scale is computed with: operations that move or choose numbers, or are linear in each operand, and what makes a deviation.
_PASSES_ON = frozenset(
    {
        *("add", "mul", "real_div", "sub", "linear", "matmul", "cumsum", "identity", "cast"),
        *("concat", "expand_dims", "gather", "reshape", "slice_by_index", "split", "squeeze", "stack", "tile", "transpose"),
        *("abs", "clip", "maximum", "minimum", "reduce_max", "reduce_min", "reduce_mean", "reduce_sum", "select", "sqrt", "square"),
    }
)
# Of these, what costs too much in float32 to be done for a scale behind it.
_PRODUCTS = frozenset({"linear", "matmul", "cumsum"})
# Up to here float16 holds every integer.
_EXACT = 2048


def _operations(block: Block) -> Iterator[Operation]:
    for op in block.operations:
        yield op
        for inner in op.blocks:
            yield from _operations(inner)


def _operands(op: Operation) -> list[Var]:
    """The floats that an operation reads and that are not constants."""
    return [var for var in op.get_flattened_inputs() if var.val is None and types.is_float(var.dtype)]


def _makes_floats_of_integers(op: Operation) -> bool:
    return op.op_type == "cast" and types.is_int(op.x.dtype) and types.is_float(op.outputs[0].dtype)


def _is_large(op: Operation) -> bool:
    """Whether a cast may meet integers that float16 does not hold."""
    known = known_range(op.x)
    return known is None or known[0] < -_EXACT or known[1] > _EXACT


def _makes_smaller(op: Operation, large: set[Operation]) -> bool:
    """Whether an operation divides by numbers of at least 1, or by others that are large, or multiplies by numbers of at most 1."""
    if op.op_type == "real_div":
        return bool(np.all(np.abs(op.y.val) >= 1)) if op.y.val is not None else op.y.op in large
    factor = (op.y.val if op.y.val is not None else op.x.val) if op.op_type == "mul" else None
    return factor is not None and bool(np.all(np.abs(factor) <= 1))


def kept(program: Program) -> frozenset[Operation]:
    """The sines and cosines whose angles come from integers and constants alone, what makes large integers smaller, and the operations in between."""
    # In the order of the program, so that an operand is decided before what reads it.
    comes: set[Operation] = set()
    large: set[Operation] = set()
    found: set[Operation] = set()
    for function in program.functions.values():
        operations = list(_operations(function))
        for op in operations:
            operands = _operands(op) if op.op_type in _PASSES_ON or op.op_type in _WAVES else []
            if _makes_floats_of_integers(op) or (operands and all(var.op in comes for var in operands)):
                comes.add(op)
                comes_from_large = any(var.op in large for var in operands) if operands else _is_large(op)
                if comes_from_large and op.op_type not in _PRODUCTS:
                    large.add(op)
        pending = [op for op in operations if (op.op_type in _WAVES and op in comes) or (op in large and _makes_smaller(op, large))]
        while pending:
            op = pending.pop()
            if op not in found:
                found.add(op)
                pending += [var.op for var in _operands(op) if var.op in comes]
    return frozenset(found)
