"""Corrections of resizing: what Core ML's own operations do not compute as torch does.

Resizing is linear, and separable: along one dimension, the result is a constant matrix times the image. The matrix is what torch's own kernel
makes of the unit images, so that every mode, alignment, filter and scale factor is torch's by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.types.symbolic import any_symbolic

from executorch_coreml.compiler.correction_table import correction

_Kernel = Callable[[torch.Tensor, int, float | None], torch.Tensor]


def _linear(mode: str, align: bool, antialias: bool = False) -> _Kernel:
    def resize(units: torch.Tensor, extent: int, scale: float | None) -> torch.Tensor:
        scales = (scale, None if scale is None else 1.0)
        if antialias:
            op = torch.ops.aten._upsample_bilinear2d_aa if mode == "bilinear" else torch.ops.aten._upsample_bicubic2d_aa
        else:
            op = torch.ops.aten.upsample_bilinear2d if mode == "bilinear" else torch.ops.aten.upsample_bicubic2d
        return op(units, [extent, units.shape[3]], align, *scales)

    return resize


def _nearest(units: torch.Tensor, extent: int, scale: float | None) -> torch.Tensor:
    return torch.ops.aten.upsample_nearest2d(units, [extent, units.shape[3]], scale, None if scale is None else 1.0)


def _nearest_exact(units: torch.Tensor, extent: int, scale: float | None) -> torch.Tensor:
    return torch.ops.aten._upsample_nearest_exact2d(units, [extent, units.shape[3]], scale, None if scale is None else 1.0)


def _matrix(kernel: _Kernel, before: int, after: int, scale: float | None, *, dtype: torch.dtype, channels: int) -> np.ndarray:
    """[after, before]: what each element of the result takes of each of the image, along one dimension."""
    # Columns of two elements: torch's filters against aliasing misread images that are one element wide. It has kernels of its own, which
    # round coordinates otherwise, for images of one channel.
    units = torch.eye(before, dtype=dtype).reshape(before, 1, before, 1).expand(before, channels, before, 2).contiguous()
    return kernel(units, after, scale)[:, 0, :, 0].T.contiguous().numpy()


def _resized(x: Var, axis: int, matrix: np.ndarray, *, gathers: bool) -> Var:
    if gathers:
        return mb.gather(x=x, indices=matrix.argmax(axis=1).astype(np.int32), axis=axis)
    weight = matrix.astype(types.nptype_from_builtin(x.dtype))
    if axis == x.rank - 1:
        return mb.matmul(x=x, y=np.ascontiguousarray(weight.T))
    return mb.matmul(x=weight.reshape((1,) * (x.rank - 2) + weight.shape), y=x)


def _is_exact(before: int, after: int, scale: float | None) -> bool:
    """Whether a scale factor says no more than the extents do."""
    return scale is None or abs(before * scale - after) < 1e-6


def _scales(value: Any, count: int) -> list[float | None]:
    """Scale factors as torch is given them: coremltools makes float32 of them, whose shortest decimal is what most were written as."""
    values = [None] * count if value is None else list(value.val if isinstance(value, Var) else value)
    numbers = [v.val if isinstance(v, Var) else v for v in values]
    return [None if n is None else float(str(np.float32(n))) for n in numbers]


_BY_MODE = {
    "upsample_linear1d": "bilinear",
    "upsample_bilinear2d": "bilinear",
    "_upsample_bilinear2d_aa": "bilinear",
    "upsample_bicubic2d": "bicubic",
    "_upsample_bicubic2d_aa": "bicubic",
    "upsample_nearest1d": "nearest",
    "upsample_nearest2d": "nearest",
    # Taken apart, these compute coordinates, which float16 rounds to those of other elements.
    "_upsample_nearest_exact1d": "nearest_exact",
    "_upsample_nearest_exact2d": "nearest_exact",
    "_upsample_nearest_exact3d": "nearest_exact",
}
_KINDS = tuple(f"{name}{suffix}" for name in _BY_MODE for suffix in ("", ".vec"))


@correction(
    *_KINDS,
    reason="coremltools computes with the extents that a scale factor leads to, where torch computes with the factor, and has no filters against aliasing",
)
def resize(context: Any, node: Any) -> None:
    name = node.kind.removesuffix(".vec")
    mode, is_nearest = _BY_MODE[name], _BY_MODE[name].startswith("nearest")
    x, _, *rest = ops._get_inputs(context, node)
    align = False
    if not is_nearest:
        align, rest = bool(rest[0].val), rest[1:]
    spatial = x.rank - 2
    given = rest[0] if node.kind.endswith(".vec") and rest else rest[:spatial] or None
    scales = _scales(given, spatial)
    extents = [int(extent) for extent in node.meta["val"].shape[2:]] if not any_symbolic(x.shape) else None
    theirs: Any = getattr(ops, name, None)
    if extents is None or (
        theirs is not None
        and mode != "bicubic"
        and not name.endswith("_aa")
        and all(_is_exact(int(before), after, scale) for before, after, scale in zip(x.shape[2:], extents, scales, strict=True))
    ):
        by_fractions = any(scale is not None and scale % 1 for scale in scales)
        if extents is None and (theirs is None or name.endswith("_aa") or by_fractions):
            raise NotImplementedError("an image of flexible extents can be resized only without filters and by whole factors")
        theirs(context, node)
        return
    nearest = _nearest if mode == "nearest" else _nearest_exact
    kernel = nearest if is_nearest else _linear(mode, align, name.endswith("_aa"))
    # The nearest element is found in the image's dtype, weights are computed in more.
    dtype, channels = (torch.float32, min(int(x.shape[1]), 2)) if is_nearest else (torch.float64, 1)
    for position, (after, scale) in enumerate(zip(extents, scales, strict=True)):
        before = int(x.shape[2 + position])
        if before != after or not _is_exact(before, after, scale):
            matrix = _matrix(kernel, before, after, scale, dtype=dtype, channels=channels)
            x = _resized(x, 2 + position, matrix, gathers=is_nearest)
    context.add(mb.identity(x=x, name=node.name))
