"""coremltools' passes over quantize and dequantize where 9.0 changes what is computed, each with what it overlooks mended.

coremltools assumes programs whose quantized ops share their parameters wherever its own quantizer makes them share. Programs of other
quantizers, and of CoreMLQuantizer with an entry per module, do not: dropping a pair of two scales reads the integers of one by the other.
passes.py says which replaces which. Until coremltools has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Operation, Var
from coremltools.converters.mil.mil.passes.defs import optimize_quantization

_FLOAT16 = np.finfo(np.float16)
# The largest distance of an 8-bit integer from its zero point.
_MOST_STEPS = 255


def _value(parameter: Var | None) -> Any:
    return None if parameter is None else parameter.val


def _is_inverse(dequantize: Operation, quantize: Operation) -> bool:
    """Whether quantize gives back the integers that dequantize was given, dtype included."""
    zero_points = (_value(op.zero_point) for op in (dequantize, quantize))
    first, second = (0 if value is None else value for value in zero_points)
    return bool(
        dequantize.input.dtype == quantize.outputs[0].dtype
        and np.array_equal(dequantize.scale.val, quantize.scale.val)
        and np.all(np.int32(first) == np.int32(second))
        and _value(dequantize.axis) == _value(quantize.axis)
    )


class int_op_canonicalization(optimize_quantization.int_op_canonicalization):
    """A reshape between dequantize and quantize becomes one of the integers where the two are inverse, per tensor.

    Given:  dequantize(x, scale=0.1) -> reshape -> quantize(scale=0.2)
    Result: the same. coremltools makes reshape(x) of it, which is twice as large.
    """

    def match_pattern(self, op: Operation) -> tuple[Operation, Operation] | None:
        matched: tuple[Operation, Operation] | None = super().match_pattern(op)
        if matched is None or matched[0].axis is not None or not _is_inverse(*matched):
            return None
        return matched


class dequantize_quantize_pair_elimination(optimize_quantization.dequantize_quantize_pair_elimination):
    """dequantize and a quantize of it go where they are inverse.

    Given:  dequantize(x: int8, scale=0.1) -> quantize(scale=0.1, output_dtype=uint8)
    Result: the same. coremltools does not compare the dtypes: what was negative would stay so instead of becoming 0.
    """

    @staticmethod
    def try_dequantize_quantize_pair_elimination(op: Operation) -> bool:
        if op.op_type == "dequantize" and any(
            child.op_type == "quantize" and child.outputs[0].dtype != op.input.dtype for child in op.outputs[0].child_ops
        ):
            return False
        pass_of_coremltools = optimize_quantization.dequantize_quantize_pair_elimination
        return bool(pass_of_coremltools.try_dequantize_quantize_pair_elimination(op))


class distributive_quantized_binary_op_scale_normalization(
    optimize_quantization.distributive_quantized_binary_op_scale_normalization
):
    """add and sub of dequantized values are computed in units of one operand's scale, the one in which float16 holds the sum.

    Given:  add(dequantize(x, scale=8), dequantize(y, scale=0.008)) -> quantize(scale=8)
    Result: add(dequantize(x, scale=1), dequantize(y, scale=0.001)) -> quantize(scale=1)
    coremltools takes y's scale as the unit whenever float16 holds the ratio of the two, and the sum, of up to 255,000 units, is infinite.
    """

    def try_to_divide(self, dequantize_x: Operation, dequantize_y: Operation, quantize_z: Operation) -> tuple[Any, Any]:
        scale_x, scale_z = super().try_to_divide(dequantize_x, dequantize_y, quantize_z)
        if scale_x is not None and _MOST_STEPS * (np.max(np.abs(scale_x)) + 1) > _FLOAT16.max:
            return None, None
        return scale_x, scale_z


def has_scale_below_float16(op: Operation) -> bool:
    """Whether an op quantizes or dequantizes by a scale that float16 holds with fewer bits than others, or as another number."""
    if op.op_type not in ("quantize", "dequantize") or op.scale.val is None:
        return False
    return bool(np.min(np.abs(op.scale.val)) < _FLOAT16.smallest_normal)


PASSES = (int_op_canonicalization, dequantize_quantize_pair_elimination, distributive_quantized_binary_op_scale_normalization)
