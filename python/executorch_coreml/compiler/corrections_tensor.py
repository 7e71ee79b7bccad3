"""Corrections of ops that take elements from tensors, or put them in order: diagonals, rolls, windows, selections, sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.frontend import _utils
from coremltools.converters.mil.frontend._utils import pymil_broadcast_tensors, pymil_broadcast_to
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.types.symbolic import any_symbolic

from executorch_coreml.compiler.correction_table import CT, arguments, cast, constant, correction, number, result_type
from executorch_coreml.compiler.high_rank_forms import MAXIMUM_RANK


@correction(
    "diagonal", "diagonal_copy", reason="coremltools keeps the matrix and clears what is off the diagonal", reference=CT + "2565"
)
def diagonal(context: Any, node: Any) -> None:
    """The two dimensions, whose extents are fixed, become one, of which every (columns + 1)-th element is taken."""
    x, offset, dim1, dim2 = arguments(context, node, "self", "offset", "dim1", "dim2")
    offset, dim1, dim2 = constant(offset, 0), constant(dim1, 0) % x.rank, constant(dim2, 1) % x.rank
    others = [axis for axis in range(x.rank) if axis not in (dim1, dim2)]
    rows, columns = x.shape[dim1], x.shape[dim2]
    x = mb.transpose(x=x, perm=[*others, dim1, dim2])
    x = mb.reshape(x=x, shape=[*(x.shape[: len(others)]), rows * columns])
    first = offset if offset >= 0 else -offset * columns
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    indices = np.arange(length, dtype=np.int32) * (columns + 1) + first
    context.add(mb.gather(x=x, indices=indices, axis=len(others), name=node.name))


@correction("index_put", reason="coremltools writes several elements of a dimension only if no earlier dimension is taken whole")
def index_put(context: Any, node: Any) -> None:
    """One vector of positions in any dimension, as a cache of keys takes a part of a prompt, is MIL's scatter along that axis."""
    x, indices, values, accumulate = arguments(context, node, "self", "indices", "values", "accumulate")
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    if (
        constant(accumulate, False)
        or len(axes) != 1
        or axes[0] == 0
        or indices[axes[0]].rank != 1
        or indices[axes[0]].shape == (1,)
    ):
        ops.index_put(context, node)
        return
    axis, index = axes[0], indices[axes[0]]
    # From iOS 17 on, what a negative index does is not defined.
    extent = np.int32(x.shape[axis])
    index = mb.select(cond=mb.less(x=index, y=np.int32(0)), a=mb.add(x=index, y=extent), b=index)
    shape = (*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])
    if tuple(values.shape) != shape:
        values = _utils.pymil_broadcast_to(values, shape, values.name + "_broadcasted")
    context.add(mb.scatter(data=x, indices=index, updates=values, axis=axis, mode="update", name=node.name))


def _rolled(x: Var, shift: int, axis: int) -> Var:
    shift %= x.shape[axis]
    if shift == 0:
        return x
    begin, end = [0] * x.rank, list(x.shape)
    begin[axis] = end[axis] - shift
    masks = [index != axis for index in range(x.rank)]
    tail = mb.slice_by_index(x=x, begin=begin, end=[0] * x.rank, begin_mask=masks, end_mask=[True] * x.rank)
    end = [0] * x.rank
    end[axis] = begin[axis]
    head = mb.slice_by_index(x=x, begin=[0] * x.rank, end=end, begin_mask=[True] * x.rank, end_mask=masks)
    return mb.concat(values=[tail, head], axis=axis)


@correction(
    "roll",
    reason="coremltools needs the dimensions as an argument, and uses indices beyond the end for negative shifts",
    reference=CT + "2778",
)
def roll(context: Any, node: Any) -> None:
    """Of fixed extents: the constraint table leaves dynamic ones outside."""
    x, shifts, dims = arguments(context, node, "self", "shifts", "dims")
    shifts = np.atleast_1d(shifts.val if isinstance(shifts, Var) else shifts)
    dims = np.atleast_1d(dims.val if isinstance(dims, Var) else (dims or [])).astype(int)
    if len(dims) == 0:
        flat = _rolled(mb.reshape(x=x, shape=[-1]), int(shifts[0]), 0)
        context.add(mb.reshape(x=flat, shape=list(x.shape), name=node.name))
        return
    for shift, dim in zip(shifts, dims, strict=True):
        x = _rolled(x, int(shift), int(dim) % x.rank)
    context.add(mb.identity(x=x, name=node.name))


@correction("select", "select_copy", reason="coremltools raises for an element of a known row that is a bool or a half")
def select(context: Any, node: Any) -> None:
    x, _, index = arguments(context, node, "self", "dim", "index")
    if x.rank == 1 and isinstance(x.val, np.ndarray) and x.val.dtype != object and constant(index, None) is not None:
        context.add(mb.const(val=x.val[int(constant(index, 0))], name=node.name))
    else:
        ops.select(context, node)


@correction("unfold", "unfold_copy", reason="coremltools has no conversion", where_missing=True)
def windows(context: Any, node: Any) -> None:
    """unfold(x, dimension, size, step): windows along an extent, whose elements become the last dimension. A number is a row of one."""
    x, dim, size, step = arguments(context, node, "self", "dimension", "size", "step")
    is_number = x.rank == 0
    x = mb.expand_dims(x=x, axes=[0]) if is_number else x
    axis, size, step = int(constant(dim, 0)) % x.rank, int(constant(size, 1)), int(constant(step, 1))
    if x.rank >= MAXIMUM_RANK:
        raise NotImplementedError("windows can be taken of at most four dimensions")
    x = mb.transpose(x=x, perm=[*(a for a in range(x.rank) if a != axis), axis])
    taken = mb.gather(x=x, indices=_window_indices(x, size, step), axis=x.rank - 1)
    if is_number:
        context.add(mb.squeeze(x=taken, axes=[0], name=node.name))
    else:
        context.add(mb.transpose(x=taken, perm=[*range(axis), x.rank - 1, *range(axis, x.rank - 1), x.rank], name=node.name))


def _window_indices(x: Var, size: int, step: int) -> Any:
    """The positions along the last extent of x, fixed or not, a row for each window."""
    offsets = np.arange(size, dtype=np.int32)
    if not any_symbolic([x.shape[-1]]):
        return np.arange(0, int(x.shape[-1]) - size + 1, step, dtype=np.int32)[:, None] + offsets
    extent = mb.squeeze(x=mb.slice_by_index(x=mb.shape(x=x), begin=[x.rank - 1], end=[x.rank]))
    starts = mb.range_1d(start=np.int32(0), end=mb.sub(x=extent, y=np.int32(size - 1)), step=np.int32(step))
    return mb.add(x=mb.expand_dims(x=starts, axes=[1]), y=offsets)


@correction("masked_scatter", reason="coremltools has no conversion", where_missing=True)
def masked_scatter(context: Any, node: Any) -> None:
    """The n-th place that the mask has takes the n-th element of the source."""
    x, mask, source = arguments(context, node, "self", "mask", "source")
    if any(any_symbolic(var.shape) for var in (x, mask, source)) or tuple(x.shape) != tuple(node.meta["val"].shape):
        raise NotImplementedError("elements can be scattered only over a fixed shape, which the mask must not enlarge")
    mask = mask if mask.shape == x.shape else pymil_broadcast_to(mask, x.shape, mask.name + "_broadcasted")
    before = mb.cumsum(x=mb.reshape(x=mb.cast(x=mask, dtype="int32"), shape=[-1]), axis=0, exclusive=True)
    before = mb.minimum(x=before, y=np.int32(np.prod(source.shape) - 1))
    taken = mb.gather(x=mb.reshape(x=source, shape=[-1]), indices=before, axis=0)
    context.add(mb.select(cond=mask, a=mb.reshape(x=taken, shape=list(x.shape)), b=x, name=node.name))


def _first(x: Var, axis: int, count: int) -> tuple[Var, Var]:
    """The first elements along a dimension, and the others."""
    begin, masks = [0] * x.rank, [index != axis for index in range(x.rank)]
    end = [count if index == axis else 0 for index in range(x.rank)]
    head = mb.slice_by_index(x=x, begin=begin, end=end, begin_mask=[True] * x.rank, end_mask=masks)
    return head, mb.slice_by_index(x=x, begin=end, end=begin, begin_mask=masks, end_mask=[True] * x.rank)


def _scattered(x: Var, index: Var, values: Any, axis: int, mode: str) -> Var:
    """MIL's scatter_along_axis where the other dimensions of the index may be shorter, as torch has it. values: a var, at least as long, or a number."""
    if any_symbolic(index.shape) and any_symbolic(x.shape) and index.rank == x.rank:
        shorter = None
    elif any_symbolic(index.shape) or any_symbolic(x.shape):
        raise NotImplementedError("elements are scattered by an index of fixed extents into a tensor of such")
    else:
        shorter = next((d for d in range(x.rank) if d != axis and index.shape[d] < x.shape[d]), None)
    if shorter is not None:
        head, tail = _first(x, shorter, int(index.shape[shorter]))
        return mb.concat(values=[_scattered(head, index, values, axis, mode), tail], axis=shorter)
    if not isinstance(values, Var) or values.rank == 0:
        value = number(values.val if isinstance(values, Var) else values, x)
        shape = mb.shape(x=index) if any_symbolic(index.shape) else list(index.shape)
        values = mb.fill(shape=shape, value=value)
    elif values.shape != index.shape:
        values = mb.slice_by_size(x=values, begin=[0] * x.rank, size=list(index.shape))
    if all(isinstance(var.val, np.ndarray) and var.val.dtype != object for var in (x, index, values)):
        return mb.const(val=_scattered_values(x.val, index.val, values.val, axis, mode))
    return mb.scatter_along_axis(data=x, indices=index, updates=values, axis=axis, mode=mode)


def _scattered_values(x: np.ndarray, index: np.ndarray, values: np.ndarray, axis: int, mode: str) -> np.ndarray:
    """Of known values, of which MIL makes the result of `mode="update"` whatever the mode is."""
    result, places = x.copy(), list(np.indices(index.shape))
    places[axis] = index
    if mode == "update":
        result[tuple(places)] = values
    else:
        {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[mode].at(result, tuple(places), values)
    return result


@correction(
    *("scatter", "scatter.src", "scatter.value", "scatter_add"),
    reason="coremltools raises where the index has shorter dimensions than the tensor or what is scattered, and takes mode for update where all is known",
)
def scatter(context: Any, node: Any) -> None:
    x, dim, index, values = arguments(context, node, "self", "dim", "index", "value" if node.kind == "scatter.value" else "src")
    if x.rank == 0 or (isinstance(values, Var) and values.rank == 0 and values.val is None):
        raise NotImplementedError("elements are scattered into tensors of at least one dimension")
    mode = "add" if node.kind == "scatter_add" else "update"
    result = _scattered(x, index, values, int(constant(dim, 0)) % x.rank, mode)
    context.add(mb.identity(x=result, name=node.name))


# torch's reduction: MIL's mode, and what leaves another number as it is.
_REDUCTIONS = {"sum": ("add", 0), "mean": ("add", 0), "prod": ("mul", 1), "amax": ("max", -np.inf), "amin": ("min", np.inf)}


@correction("scatter_reduce.two", reason="coremltools has no conversion", where_missing=True)
def scatter_reduce(context: Any, node: Any) -> None:
    """scatter_reduce(self, dim, index, src, reduce, include_self). Without the own elements, those that something is scattered to begin anew."""
    x, dim, index, source, reduce, include_self = arguments(context, node, "self", "dim", "index", "src", "reduce", "include_self")
    how = str(constant(reduce, "sum"))
    (mode, neutral), axis, is_mean = _REDUCTIONS[how], int(constant(dim, 0)) % max(x.rank, 1), how == "mean"
    if x.rank == 0 or (is_mean and types.is_int(x.dtype)):
        raise NotImplementedError("means of floats are scattered, into tensors of at least one dimension")
    if np.isinf(neutral) and types.is_int(x.dtype):
        neutral = np.iinfo(np.int32).max if neutral > 0 else np.iinfo(np.int32).min
    begins_anew = not constant(include_self, True)
    x = _scattered(x, index, neutral, axis, "update") if begins_anew else x
    result = _scattered(x, index, source, axis, mode)
    if is_mean:
        counts = mb.fill(shape=mb.shape(x=x), value=number(1, x))
        counts = _scattered(counts, index, 0, axis, "update") if begins_anew else counts
        result = mb.real_div(x=result, y=_scattered(counts, index, 1, axis, "add"))
    context.add(mb.identity(x=result, name=node.name))


def _broadcast(condition: Var, a: Var, b: Var) -> tuple[Var, Var, Var]:
    """Of flexible extents. MIL's select broadcasts, and takes the type of its result from `a` and `b` alone."""
    if all(var.rank == condition.rank and var.shape == condition.shape for var in (a, b)):
        return condition, a, b
    # False everywhere, in the shape of the three together: no value is multiplied, which could be infinite.
    nowhere = mb.logical_and(x=condition, y=mb.logical_not(x=condition))
    for var in (a, b):
        var = cast(var, "bool")
        nowhere = mb.logical_and(x=nowhere, y=mb.logical_and(x=var, y=mb.logical_not(x=var)))

    def spread(var: Var) -> Var:
        if types.is_bool(var.dtype):
            return mb.logical_or(x=var, y=nowhere)
        return mb.add(x=var, y=mb.cast(x=nowhere, dtype=types.builtin_to_string(var.dtype)))

    return mb.logical_or(x=condition, y=nowhere), spread(a), spread(b)


@correction("expand", "expand_copy", reason="coremltools joins the extents of the result, which a number has none of")
def expand(context: Any, node: Any) -> None:
    if node.meta["val"].dim():
        ops.expand(context, node)
    else:
        (x,) = arguments(context, node, "self")
        context.add(mb.identity(x=x, name=node.name))


@correction(
    "where", "where.self", "where.scalarself", "where.scalarother", "where.scalar", reason="coremltools cannot select from scalars"
)
def where(context: Any, node: Any) -> None:
    condition, a, b = arguments(context, node, "condition", "self", "other")
    dtype = result_type(node)
    condition, a, b = cast(condition, "bool"), cast(a, dtype), cast(b, dtype)
    shapes = [var.shape for var in (condition, a, b)]
    if any(any_symbolic(shape) for shape in shapes):
        condition, a, b = _broadcast(condition, a, b)
    elif any(len(shape) for shape in shapes):
        condition, a, b = pymil_broadcast_tensors([condition, a, b])
    context.add(mb.select(cond=condition, a=a, b=b, name=node.name))
