"""Corrections of ops whose result coremltools gives another dtype or rank than torch: fills, ranges, bounds, padding and sums.

A value of another dtype is a wrong number somewhere behind it: a minus infinity written into integers, an index that went through float16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend._utils import pymil_broadcast_to
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.types.symbolic import any_symbolic

from executorch_coreml.compiler.correction_table import (
    arguments,
    axes_of,
    cast,
    constant,
    correction,
    number,
    result_type,
)

# By op: where the number stands among the arguments, or the number itself.
_FILLS: dict[str, int | float] = {"full": 1, "full_like": 1, "new_full": 2}
_ZEROS_AND_ONES = {"zeros": 0, "zeros_like": 0, "new_zeros": 0, "ones": 1, "ones_like": 1, "new_ones": 1}


def _shape(sizes: Any) -> Any:
    """A shape as MIL takes it, of a constant or of a list of extents some of which are computed."""
    if isinstance(sizes, (list, tuple)):
        return mb.concat(values=[mb.cast(x=size, dtype="int32") for size in sizes], axis=0)
    return sizes


@correction(
    *_FILLS, *_ZEROS_AND_ONES, reason="coremltools fills with the number as it was written, and ignores the dtype of the result"
)
def fill(context: Any, node: Any) -> None:
    """With a constant, or with an extent or what is computed of extents, which is added to zeros."""
    result, dtype = node.meta["val"], result_type(node)
    inputs = ops._get_inputs(context, node)
    number = inputs[int(_FILLS[node.kind])] if node.kind in _FILLS else _ZEROS_AND_ONES[node.kind]
    is_computed = isinstance(number, Var) and number.val is None
    if is_computed and dtype == "bool":
        raise NotImplementedError("Core ML fills with a constant, or adds a number to zeros")
    known = 0 if is_computed else number.val if isinstance(number, Var) else number
    value = types.nptype_from_builtin(types.string_to_builtin(dtype))(known)
    name = {} if is_computed else {"name": node.name}
    if result.dim() == 0:
        made = mb.const(val=value, **name)
    elif all(isinstance(extent, int) for extent in result.shape):
        made = mb.fill(shape=[int(extent) for extent in result.shape], value=value, **name)
    elif node.kind.endswith("_like"):
        made = mb.fill(shape=mb.shape(x=inputs[0]), value=value, **name)
    else:
        made = mb.fill(shape=_shape(inputs[1 if node.kind.startswith("new_") else 0]), value=value, **name)
    context.add(mb.add(x=made, y=cast(number, dtype), name=node.name) if is_computed else made)


_RANGES = {"arange": ("end",), "arange.start": ("start", "end"), "arange.start_step": ("start", "end", "step")}


@correction(
    *_RANGES,
    reason="coremltools returns integers for integer bounds, even if another dtype was requested, and counts floats in float32",
)
def arange(context: Any, node: Any) -> None:
    """Of constants: torch's own values. Else integers, counted as such and cast at the end."""
    names = _RANGES[node.kind]
    given = dict(zip(names, arguments(context, node, *names), strict=True))
    # As they are written: coremltools makes a float32 of a number, and torch counts in double.
    written = dict(zip(names, node.inputs, strict=False))
    bounds: list[Any] = []
    for name, default in (("start", 0), ("end", None), ("step", 1)):
        number_written = written.get(name)
        bounds.append(
            number_written if isinstance(number_written, (int, float)) else default if given.get(name) is None else given[name]
        )
    known = [bound.val if isinstance(bound, Var) else bound for bound in bounds]
    dtype = result_type(node)
    if all(value is not None for value in known):
        values = torch.arange(*(np.asarray(value).item() for value in known), dtype=node.meta["val"].dtype).numpy()
        context.add(mb.const(val=values.astype(types.nptype_from_builtin(types.string_to_builtin(dtype))), name=node.name))
        return
    if any(types.is_float(bound.dtype) if isinstance(bound, Var) else isinstance(bound, float) for bound in bounds):
        raise NotImplementedError("a range with computed bounds must be of integers")
    start, end, step = (cast(bound, "int32") if isinstance(bound, Var) else np.int32(bound) for bound in bounds)
    if dtype == "int32":
        context.add(mb.range_1d(start=start, end=end, step=step, name=node.name))
    else:
        context.add(mb.cast(x=mb.range_1d(start=start, end=end, step=step), dtype=dtype, name=node.name))


@correction(
    "view",
    "view_copy",
    "_unsafe_view",
    "reshape",
    reason="coremltools keeps the shape of a tensor of one element that becomes a scalar",
)
def view(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    if node.meta["val"].dim() == 0 and x.rank and not any_symbolic(x.shape):
        context.add(mb.squeeze(x=x, name=node.name))
    else:
        ops.view(context, node)


def _bounds_of_float(x: Var, low: Var | None, high: Var | None) -> tuple[Any, Any] | None:
    """The bounds of a clip; None where MIL's cannot be it."""
    if not types.is_float(x.dtype) or any(bound is not None and (bound.val is None or np.ndim(bound.val)) for bound in (low, high)):
        return None
    limits = np.finfo(types.nptype_from_builtin(x.dtype))
    alpha: Any = limits.min if low is None else number(low.val, x)
    beta = limits.max if high is None else number(high.val, x)
    return (alpha, beta) if alpha <= beta else None


@correction("clamp", "clamp_min", "clamp_max", reason="coremltools bounds integers as floats where one bound is missing")
def clamp(context: Any, node: Any) -> None:
    names = {"clamp": ("min", "max"), "clamp_min": ("min",), "clamp_max": ("max",)}[node.kind]
    x, *given = arguments(context, node, "self", *names)
    dtype = result_type(node)
    bounds = {name: None if value is None else cast(value, dtype) for name, value in zip(names, given, strict=True)}
    x, low, high = cast(x, dtype), bounds.get("min"), bounds.get("max")
    clip = _bounds_of_float(x, low, high)
    if clip is not None:
        context.add(mb.clip(x=x, alpha=clip[0], beta=clip[1], name=node.name))
        return
    # torch's order: what is below the lower bound and above the upper one is the upper one.
    x = x if low is None else mb.maximum(x=x, y=low)
    x = x if high is None else mb.minimum(x=x, y=high)
    context.add(mb.identity(x=x, name=node.name))


def _block(x: Var, axis: int, extent: int, value: np.generic) -> Var:
    """A tensor of one value, of x's shape but for the extent of one axis."""
    if not any_symbolic(x.shape):
        return mb.fill(shape=[extent if index == axis else int(e) for index, e in enumerate(x.shape)], value=value)
    shape = mb.shape(x=x)
    parts = [np.int32(extent) if index == axis else mb.gather(x=shape, indices=np.int32(index)) for index in range(x.rank)]
    return mb.fill(shape=mb.concat(values=parts, axis=0), value=value)


def _pad_integers(x: Var, pads: Sequence[int], value: np.generic) -> Var:
    """pads: before and after, of the last dimension first."""
    for position in range(len(pads) // 2):
        axis = x.rank - 1 - position
        before, after = pads[2 * position : 2 * position + 2]
        values = [_block(x, axis, before, value)] if before else []
        values += [x]
        values += [_block(x, axis, after, value)] if after else []
        x = mb.concat(values=values, axis=axis) if len(values) > 1 else x
    return x


def _cut(x: Var, pads: Sequence[int]) -> Var:
    """Without the elements that negative amounts of padding remove."""
    if min(pads, default=0) >= 0:
        return x
    begin, end = [0] * x.rank, [0] * x.rank
    for position in range(len(pads) // 2):
        axis = x.rank - 1 - position
        begin[axis], end[axis] = max(-pads[2 * position], 0), min(pads[2 * position + 1], 0)
        if isinstance(x.shape[axis], int | np.integer) and x.shape[axis] <= begin[axis] - end[axis]:
            raise NotImplementedError(f"the padding would leave no elements of dimension {axis}, which has {x.shape[axis]}")
    return mb.slice_by_index(x=x, begin=begin, end=end, begin_mask=[b == 0 for b in begin], end_mask=[e == 0 for e in end])


def _pad_floats(x: Var, pads: Sequence[int], value: float) -> Var:
    if not any(pads):
        return x
    amounts = [0] * (2 * x.rank)
    for position in range(len(pads) // 2):
        axis = x.rank - 1 - position
        amounts[2 * axis : 2 * axis + 2] = pads[2 * position : 2 * position + 2]
    return mb.pad(x=x, pad=amounts, mode="constant", constant_val=number(value, x))


@correction(
    "constant_pad_nd", "pad", reason="MIL pads floats only, coremltools converts integers to them, and MIL does not cut off"
)
def pad(context: Any, node: Any) -> None:
    is_float = node.meta["val"].dtype.is_floating_point
    amounts = arguments(context, node, "self", "pad")[1]
    if is_float and (not isinstance(amounts, Var) or amounts.val is None or min(amounts.val, default=0) >= 0):
        ops.pad(context, node)
        return
    names = ("self", "pad", "value") if node.kind == "constant_pad_nd" else ("self", "pad", "mode", "value")
    x, pads, *rest = arguments(context, node, *names)
    given = dict(zip(names[2:], rest, strict=True))
    mode = constant(given.get("mode"), "constant")
    if mode != "constant" or not isinstance(pads, Var) or pads.val is None:
        raise NotImplementedError(
            f"integers can be padded, and tensors can be cut, only by constant amounts and with a constant, and not with mode {mode!r}"
        )
    # As it is written: coremltools makes a float32 of a number, which integers beyond 2**24 do not survive.
    value = node.inputs[len(names) - 1] if len(node.inputs) == len(names) else constant(given.get("value"), 0)
    dtype = result_type(node)
    extents = [int(extent) for extent in pads.val]
    more = [max(extent, 0) for extent in extents]
    if is_float:
        context.add(
            mb.identity(x=_pad_floats(_cut(cast(x, dtype), extents), more, float(constant(value, 0.0) or 0.0)), name=node.name)
        )
        return
    padded = _pad_integers(_cut(cast(x, "int32"), extents), more, np.int32(value or 0))
    context.add(mb.identity(x=padded, name=node.name) if dtype == "int32" else mb.cast(x=padded, dtype=dtype, name=node.name))


@correction("sum", "sum.dim_intlist", reason="coremltools sums bools as floats, and float16 counts to 2048")
def total(context: Any, node: Any) -> None:
    names = ("self", "dim", "keepdim") if node.kind != "sum" else ("self",)
    x, *rest = arguments(context, node, *names)
    dim, keep = (*rest, None, None)[:2]
    x = cast(x, result_type(node))
    if x.rank == 0:
        context.add(mb.identity(x=x, name=node.name))
        return
    context.add(mb.reduce_sum(x=x, axes=axes_of(dim, x.rank), keep_dims=bool(constant(keep, False)), name=node.name))


@correction("isinf", "isnan", reason="coremltools has no conversion of one, and compares integers as floats")
def is_special(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    if not types.is_float(x.dtype):
        # No integer is; a cast to float16 would make infinities of the large ones.
        x = cast(x, "int32")
        context.add(mb.not_equal(x=x, y=x, name=node.name))
    elif node.kind == "isnan":
        context.add(mb.not_equal(x=x, y=x, name=node.name))
    else:
        context.add(mb.equal(x=mb.abs(x=x), y=number(np.inf, x), name=node.name))


@correction("scalar_tensor", reason="coremltools has no conversion")
def scalar_tensor(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "s")
    dtype = result_type(node)
    if x.val is not None:
        context.add(mb.const(val=types.nptype_from_builtin(types.string_to_builtin(dtype))(x.val), name=node.name))
    else:
        context.add(mb.cast(x=x, dtype=dtype, name=node.name))


@correction("copy", "fill", reason="coremltools keeps the dtype of what is copied, and fills with 0 where the number is computed")
def overwrite(context: Any, node: Any) -> None:
    target, source = arguments(context, node, "self", "src" if node.kind == "copy" else "value")
    source = cast(source, result_type(node))
    if source.rank == target.rank and not any_symbolic(source.shape) and source.shape == target.shape:
        context.add(mb.identity(x=source, name=node.name))
        return
    context.add(pymil_broadcast_to(source, mb.shape(x=target), node.name))
