"""Says what MIL leaves to itself and its passes then mistake, right behind the frontend.

Numbers that it fills in for absent arguments get the dtype of the tensor beside them: `pad(x=x, mode="reflect")` has a constant_val of float32 from
then on, whatever x is, which MIL accepts when the operation is made and refuses as soon as a pass touches one of its inputs. What it computes of a
known half (`abs`, `exp`, ...), a Python float to it, becomes a half and no float32. A reduction of all elements names its axes.
"""

from __future__ import annotations

import copy

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
            _name_axes(block, op)
            _align_op(block, op)
            for output in op.outputs:
                _align_output(block, op, output)


def _name_axes(block: Block, op: Operation) -> None:
    """A reduction along all axes names them: coremltools' pass over transposes reads them, and ends with a KeyError where there are none."""
    if op.op_type.startswith("reduce_") and "axes" in op.input_spec.input_types and op.inputs.get("axes") is None and op.x.rank > 0:
        with block:
            axes = mb.const(val=np.arange(op.x.rank, dtype=np.int32), before_op=op)
        axes.op.scopes = copy.deepcopy(op.scopes)
        op.set_inputs(axes=axes)


def _align_output(block: Block, op: Operation, output: Var) -> None:
    if output.val is None or not types.is_float(output.dtype) or output in block.outputs:
        return
    wanted = types.nptype_from_builtin(output.dtype)
    if np.asarray(output.val).dtype != wanted:
        with block:
            fresh = mb.const(val=np.asarray(output.val, wanted)[()], before_op=op)
        block.replace_uses_of_var_after_op(anchor_op=op, old_var=output, new_var=fresh, no_check_var_types=True)


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
