"""Places where coremltools 9.0 copies whole weights on the way, replaced while a partition is converted: nothing else about them changes.

What they copy is more than anything else in a conversion: the test for constants beyond float16 makes six times the memory of each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from coremltools.converters.mil.backend.mil import helper
from coremltools.converters.mil.mil import Operation, Var
from coremltools.converters.mil.mil.passes.defs.quantization import FP16ComputePrecision

from executorch.backends.apple.coreml.compiler import quantization_passes
from executorch.backends.apple.coreml.compiler.passes import FLOAT16_MAX, is_float32_constant, may_exceed

# coremltools mends values that float16 makes 0 in constants of fewer elements than this.
_MENDED_ELEMENTS = 400


def _overflows_float16(op: Operation) -> bool:
    """Whether a constant of an op keeps the op in float32: one beyond float16, as coremltools has it, or a scale below it."""
    if quantization_passes.has_scale_below_float16(op):
        return True
    for value in op.inputs.values():
        for var in value if isinstance(value, (list, tuple)) else (value,):
            if is_float32_constant(var) and may_exceed(np.asarray(var.val), FLOAT16_MAX):
                return bool(_overflows_float16_by_coremltools(op))
    return False


def _check_underflow_to_zero(self: FP16ComputePrecision, new_var: Var, var: Var) -> None:
    """As coremltools', which flattens, and so copies, what is too large for it to look at."""
    if np.size(var.val) < _MENDED_ELEMENTS:
        _check_underflow_to_zero_by_coremltools(self, new_var, var)


def _write_weight(var: Var, blob_writer: Any) -> int:
    """Appends a constant to the weight file, and returns its offset. coremltools makes two copies of one of float16."""
    value = var.val
    if getattr(value, "dtype", None) == np.float16:
        return int(blob_writer.write_fp16_data(np.ascontiguousarray(value).reshape(-1).view(np.uint16)))
    return int(_write_weight_by_coremltools(var, blob_writer))


_overflows_float16_by_coremltools = FP16ComputePrecision.fp16_overflow
_check_underflow_to_zero_by_coremltools = FP16ComputePrecision._check_underflow_to_zero
_write_weight_by_coremltools = helper._get_offset_by_writing_data


@contextlib.contextmanager
def lean_conversion() -> Iterator[None]:
    """Within it, a conversion takes no more memory for a weight than its results. Under conversion.py's lock."""
    FP16ComputePrecision.fp16_overflow = staticmethod(_overflows_float16)
    FP16ComputePrecision._check_underflow_to_zero = _check_underflow_to_zero
    helper._get_offset_by_writing_data = _write_weight
    try:
        yield
    finally:
        FP16ComputePrecision.fp16_overflow = staticmethod(_overflows_float16_by_coremltools)
        FP16ComputePrecision._check_underflow_to_zero = _check_underflow_to_zero_by_coremltools
        helper._get_offset_by_writing_data = _write_weight_by_coremltools
