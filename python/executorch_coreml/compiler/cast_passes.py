"""coremltools' passes over casts, where 9.0 changes values: each with what it overlooks mended. passes.py says which replaces which."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Operation, Program, Var, types
from coremltools.converters.mil.mil.passes.defs import optimize_repeat_ops, quantization
from coremltools.converters.mil.mil.types.symbolic import is_symbolic

from executorch_coreml.compiler import floats_of_integers, quantization_passes
from executorch_coreml.compiler.known_ranges import INT16, UINT16, known_range

FLOAT16_MAX = float(np.finfo(np.float16).max)
# coremltools mends values that float16 makes 0 in constants of fewer elements than this.
_MENDED_ELEMENTS = 400

# dtype -> the dtypes that hold each of its values.
_WIDER = {
    "bool": {"int8", "uint8", "int16", "uint16", "int32", "fp16", "fp32"},
    "int8": {"int16", "int32", "fp16", "fp32"},
    "uint8": {"int16", "uint16", "int32", "fp16", "fp32"},
    "int16": {"int32", "fp32"},
    "uint16": {"int32", "fp32"},
    "fp16": {"fp32"},
}
# source, middle, target: the middle rounds, but nothing that the target tells apart. Past 2**24 int32 loses bits in float32, and is infinite
# in float16 anyway; a number other than 0 stays one.
_ALIKE = {("int32", "fp32", "fp16"), ("int32", "fp32", "bool"), ("int32", "fp16", "bool")}


def is_float32_constant(var: Any) -> bool:
    is_constant = isinstance(var, Var) and var.op is not None and var.op.op_type == "const"
    return is_constant and getattr(var.val, "dtype", None) == np.float32


def may_exceed(value: np.ndarray, limit: float) -> bool:
    """Whether a magnitude may be above `limit`: False is certain, NaNs make it True. Takes no memory, which for a large weight matters."""
    return value.size > 0 and not (value.min() >= -limit and value.max() <= limit)


class cast_optimization(optimize_repeat_ops.cast_optimization):
    """Two casts become one, or none, where that gives the same values.

    Given:  cast(cast(x: int32, "bool"), "int32")
    Result: the same. coremltools compares ranges and resolutions of the dtypes, in which bool looks like an integer, and gives x itself.
    """

    def _is_cast_ops_fusable(self, cast_1: Operation, cast_2: Operation) -> bool:
        source, middle, target = types.builtin_to_string(cast_1.x.dtype), cast_1.dtype.val, cast_2.dtype.val
        return middle in (source, target) or middle in _WIDER.get(source, ()) or (source, middle, target) in _ALIKE


class add_fp16_cast(quantization.add_fp16_cast):
    """float32 becomes float16, but where a constant is beyond float16, or quantizes by a scale below it, and for what is computed from integers
    (floats_of_integers.py).

    What it looks at takes no memory: coremltools' test for constants beyond float16 makes six times the memory of each.
    """

    _kept: frozenset[Operation] = frozenset()

    def apply(self, prog: Program) -> None:
        self._kept = floats_of_integers.kept(prog)
        super().apply(prog)
        self._kept = frozenset()  # A pass is one object for the whole process.

    def is_valid_op(self, op: Operation) -> bool:
        return op not in self._kept and bool(super().is_valid_op(op))

    @staticmethod
    def fp16_overflow(op: Operation) -> bool:
        """Whether an op stays in float32."""
        if quantization_passes.has_scale_below_float16(op):
            return True
        for value in op.inputs.values():
            for var in value if isinstance(value, (list, tuple)) else (value,):
                if is_float32_constant(var) and may_exceed(np.asarray(var.val), FLOAT16_MAX):
                    return bool(quantization.add_fp16_cast.fp16_overflow(op))
        return False

    def _check_underflow_to_zero(self, new_var: Var, var: Var) -> None:
        """As coremltools', which flattens, and so copies, what is too large for it to look at."""
        if np.size(var.val) < _MENDED_ELEMENTS:
            super()._check_underflow_to_zero(new_var, var)


def _index_bounds(op: Operation) -> tuple[int, int] | None:
    """What indices that are right are between: the extents that they count in. None where an extent is not known."""
    if op.op_type == "gather_nd":
        depth = op.indices.shape[-1]
        # Operations for iOS 15 have none.
        batch_dims = op.inputs.get("batch_dims")
        first = int(batch_dims.val) if batch_dims is not None else 0
        extents = () if is_symbolic(depth) else op.x.shape[first : first + int(depth)]
    else:
        extents = (op.x.shape[op.axis.val],)
    if not extents or any(is_symbolic(extent) for extent in extents):
        return None
    return -max(map(int, extents)), max(map(int, extents)) - 1


class add_int16_cast(quantization.add_int16_cast):
    """int32 becomes int16 or uint16 for ops that prefer it, where 16 bits hold every value that there can be.

    Given:  gather(x: int32, indices: int32) of 5 rows
    Result: gather(x: int32, cast(indices, "int16")). coremltools casts x too, and 70000 becomes 4464.
    """

    def should_cast_parameter(self, op: Operation, param_name: str) -> bool:
        var = op.inputs[param_name]
        if var.dtype == types.str:
            if var.val != "int32" or op.op_type != "topk":
                return False
            extent = op.x.shape[op.axis.val]
            return not is_symbolic(extent) and int(extent) - 1 <= UINT16[1]
        if not var.is_tensor_or_scalar_of(dtype="int32"):
            return False
        bounds = known_range(var)
        if bounds is None and param_name == "indices":
            bounds = _index_bounds(op)
        if bounds is None:
            return False
        # A cast from uint16 goes back to it, which cancels the two.
        for name, (least, most) in (("uint16", UINT16), ("int16", INT16)):
            if least <= bounds[0] and bounds[1] <= most:
                self.target_dtype = name
                return bool(quantization.CastTypeQuantization.should_cast_parameter(self, op, param_name))
        return False


PASSES = (cast_optimization, add_fp16_cast, add_int16_cast)
