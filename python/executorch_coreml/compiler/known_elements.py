"""Makes values of which MIL knows single elements values that it does not know.

MIL follows the elements of what is joined, of which some are unknown, so that shapes come out of it. A slice of that which has only known elements is an
array of Python objects to it, with which no operation of numbers can compute, in the frontend or in a pass that infers anew. Nothing but shapes
needs them: integers of at most one dimension keep theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Block, Program, Var, types


def _follow_none() -> None:
    raise NotImplementedError  # What MIL's inference takes for "not known".


def forget(value: Any) -> None:
    """Of the value of a converted node, a var or a sequence of them, in place and for good."""
    for part in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(part, Var) or not isinstance(part.sym_val, np.ndarray) or part.sym_val.dtype != object:
            continue
        if part.op is not None and (part.rank > 1 or not types.is_int(part.dtype)):
            part._sym_val = None
            part.op.value_inference = _follow_none


def forget_all(program: Program) -> None:
    """Of a whole program: a pass makes operations anew."""
    for function in program.functions.values():
        _forget_block(function)


def _forget_block(block: Block) -> None:
    for op in block.operations:
        for inner in op.blocks:
            _forget_block(inner)
        if op.op_type != "const":
            for output in op.outputs:
                forget(output)
