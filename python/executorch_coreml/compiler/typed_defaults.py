"""Gives the numbers that MIL fills in for absent arguments the dtype of the tensor beside them.

`pad(x=x, mode="reflect")` has a constant_val of float32 from then on, whatever x is, which MIL accepts when the operation is made and refuses as soon
as a pass touches one of its inputs.
"""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Block, Operation, Program, Var, types
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil.input_type import TensorInputType
from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass


class align(AbstractGraphPass):
    """In place, right behind the frontend."""

    def apply(self, prog: Program) -> None:
        for function in prog.functions.values():
            _align_block(function)


def _align_block(block: Block) -> None:
    for op in list(block.operations):
        for inner in op.blocks:
            _align_block(inner)
        if op.op_type != "const":
            _align_op(block, op)


def _align_op(block: Block, op: Operation) -> None:
    domains: dict[str, list[tuple[str, Var]]] = {}
    for name, var in op.inputs.items():
        kind = op.input_spec.input_types.get(name)
        if isinstance(var, Var) and isinstance(kind, TensorInputType) and kind.type_domain_id is not None:
            domains.setdefault(kind.type_domain_id, []).append((name, var))
    for members in domains.values():
        dtype = members[0][1].dtype
        for _, var in members[1:]:
            if var.dtype == dtype or var.val is None or not types.is_float(dtype):
                continue
            with block:
                fresh = mb.const(val=np.asarray(var.val, types.nptype_from_builtin(dtype))[()], before_op=op)
            block.replace_uses_of_var_after_op(anchor_op=fresh.op, old_var=var, new_var=fresh, end_op=op, no_check_var_types=True)
