"""The angles of a float16 program that are computed from integers, which stay float32.

A rotary embedding turns by `position * frequency`, a time step's embedding likewise. float16 has eleven bits: an angle of 1,000 is off by up to a
quarter of a radian in it, so that its sine is any number, whatever the position. The integers are exact, the frequencies are constants, and the sine
is at most 1: what lies between is kept as it is, and float16 begins behind the sine.
"""

from __future__ import annotations

from collections.abc import Iterator

from coremltools.converters.mil.mil import Block, Operation, Program, Var, types

_WAVES = frozenset({"cos", "sin"})
# What an angle is computed with: operations that move numbers, or are linear in each operand.
_PASSES_ON = frozenset(
    {
        *("add", "mul", "real_div", "sub", "linear", "matmul", "cumsum", "identity", "cast"),
        *("concat", "expand_dims", "gather", "reshape", "slice_by_index", "split", "squeeze", "stack", "tile", "transpose"),
    }
)


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


def of_integers(program: Program) -> frozenset[Operation]:
    """The sines and cosines whose angles come from integers and constants alone, and the operations in between."""
    # In the order of the program, so that an operand is decided before what reads it.
    comes: set[Operation] = set()
    found: set[Operation] = set()
    for function in program.functions.values():
        operations = list(_operations(function))
        for op in operations:
            operands = _operands(op) if op.op_type in _PASSES_ON or op.op_type in _WAVES else []
            if _makes_floats_of_integers(op) or (operands and all(var.op in comes for var in operands)):
                comes.add(op)
        pending = [op for op in operations if op.op_type in _WAVES and op in comes]
        while pending:
            op = pending.pop()
            if op not in found:
                found.add(op)
                pending += [var.op for var in _operands(op) if var.op in comes]
    return frozenset(found)
