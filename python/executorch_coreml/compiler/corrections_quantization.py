"""Corrections of quantized ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend.torch import ops, quantization_ops
from coremltools.converters.mil.frontend.torch.utils import NUM_TO_TORCH_DTYPE
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from executorch_coreml.compiler.correction_table import correction


def _bounded(x: Var, scale: Var, zero_point: Var, lowest: int, highest: int, dtype: torch.dtype) -> Var:
    """x within what `lowest` and `highest` stand for, where these are narrower than the dtype."""
    limits = torch.iinfo(dtype)
    if lowest <= limits.min and highest >= limits.max:
        return x
    step, zero = np.float64(scale.val), np.int64(zero_point.val)
    return mb.clip(x=x, alpha=np.float32((lowest - zero) * step), beta=np.float32((highest - zero) * step))


@correction(
    "quantized_decomposed::quantize_per_tensor",
    "quantized_decomposed.quantize_per_tensor",
    reason="coremltools ignores quant_min and quant_max, and bounds by the dtype",
)
def quantize_per_tensor(context: Any, node: Any) -> None:
    x, scale, zero_point, lowest, highest, dtype = ops._get_inputs(context, node, expected=6)
    torch_dtype = NUM_TO_TORCH_DTYPE.get(dtype.val)
    if torch_dtype is not None and not torch_dtype.is_floating_point and not (x.op and x.op.op_type.startswith("constexpr_")):
        x = _bounded(x, scale, zero_point, int(lowest.val), int(highest.val), torch_dtype)
    quantization_ops._quantize_general(context, node, x, scale, zero_point, dtype)
