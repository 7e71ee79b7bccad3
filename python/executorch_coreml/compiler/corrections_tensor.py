"""Corrections of tensor ops: diagonals, rolls, reductions and activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend import _utils
from coremltools.converters.mil.frontend._utils import pymil_broadcast_tensors, pymil_broadcast_to
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.types.symbolic import any_symbolic

from executorch_coreml.compiler.correction_table import (
    CT,
    OnDevices,
    arguments,
    as_float,
    axes_of,
    cast,
    constant,
    correction,
    integers_of,
    number,
    result_type,
)
from executorch_coreml.compiler.high_rank import MAXIMUM_RANK


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


@correction(
    "prelu",
    "_prelu_kernel",
    reason="coremltools applies the slopes of channels to the wrong dimension below rank 4",
    reference=CT + "2781",
)
def prelu(context: Any, node: Any) -> None:
    x, slope = arguments(context, node, "self", "weight")
    if x.rank == 4 and slope.val is not None:
        channels = x.shape[1]
        context.add(mb.prelu(x=x, alpha=np.broadcast_to(np.ravel(slope.val), (channels,)).copy(), name=node.name))
        return
    shape = [1] * x.rank
    if x.rank >= 2:
        shape[1] = -1
    product = mb.mul(x=x, y=mb.reshape(x=slope, shape=shape))
    context.add(mb.select(cond=mb.greater(x=x, y=number(0, x)), a=x, b=product, name=node.name))


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


@correction("all", "all.dim", "all.dims", "any", "any.dim", "any.dims", reason="coremltools cuts off the fractions of floats")
def all_or_any(context: Any, node: Any) -> None:
    x, dim, keep = arguments(context, node, "self", "dim", "keepdim")
    if x.rank == 0:
        x = mb.expand_dims(x=x, axes=[0])
    if not types.is_bool(x.dtype):
        x = mb.not_equal(x=x, y=number(0, x))
    reduce = mb.reduce_min if node.kind.startswith("all") else mb.reduce_max
    reduced = reduce(x=mb.cast(x=x, dtype="int32"), axes=axes_of(dim, x.rank), keep_dims=bool(constant(keep, False)))
    context.add(mb.cast(x=reduced, dtype="bool", name=node.name))


def _variance(x: Var, axes: list[int], correction_: float, keep: bool) -> Var:
    """The mean square of what is left without the mean, times n / (n - correction); NaN or infinite for n <= correction, as in torch."""
    centred = mb.sub(x=x, y=mb.reduce_mean(x=x, axes=axes, keep_dims=True))
    variance = mb.reduce_mean(x=mb.mul(x=centred, y=centred), axes=axes, keep_dims=keep)
    if correction_ == 0:
        return variance
    extents = [x.shape[axis] for axis in axes]
    if any_symbolic(extents):
        shape = mb.gather(x=mb.shape(x=x), indices=np.array(axes, np.int32), axis=0)
        count = cast(mb.reduce_prod(x=shape, keep_dims=False), types.builtin_to_string(variance.dtype))
        left = mb.maximum(x=mb.sub(x=count, y=number(correction_, count)), y=number(0, count))
        return mb.mul(x=variance, y=mb.real_div(x=count, y=left))
    with np.errstate(divide="ignore"):
        factor = np.float64(np.prod(extents)) / max(np.prod(extents) - correction_, 0)
    return mb.mul(x=variance, y=number(factor, variance))


@correction(
    "var.correction",
    "std.correction",
    reason="coremltools uses another correction than torch if no correction or no dimension is passed",
)
def variance(context: Any, node: Any) -> None:
    x, dim, correction_, keep = arguments(context, node, "self", "dim", "correction", "keepdim")
    result = _variance(x, axes_of(dim, x.rank), constant(correction_, 1), bool(constant(keep, False)))
    context.add(mb.sqrt(x=result, name=node.name) if node.kind.startswith("std") else mb.identity(x=result, name=node.name))


@correction(
    "var",
    "var.dim",
    "std",
    "std.dim",
    reason="coremltools uses another correction than torch if no correction or no dimension is passed",
)
def unbiased_variance(context: Any, node: Any) -> None:
    x, *rest = ops._get_inputs(context, node)
    by_position = ("unbiased",) if node.kind in ("var", "std") else ("dim", "unbiased", "keepdim")
    given = dict(zip(by_position, rest, strict=False))
    dim, unbiased, keep = (
        given.get(name, ops._get_kwinputs(context, node, name, default=[None])[0]) for name in ("dim", "unbiased", "keepdim")
    )
    result = _variance(x, axes_of(dim, x.rank), int(bool(constant(unbiased, True))), bool(constant(keep, False)))
    context.add(mb.sqrt(x=result, name=node.name) if node.kind.startswith("std") else mb.identity(x=result, name=node.name))


@correction("cumsum", reason="coremltools refuses negative dimensions, and ignores the requested dtype of the sum")
def cumsum(context: Any, node: Any) -> None:
    x, dim, _ = arguments(context, node, "self", "dim", "dtype")
    # Counts, such as a histogram's, come as floats: float16 has not all of them.
    integers = integers_of(x) if result_type(node) == "int32" else None
    context.add(
        mb.cumsum(
            x=cast(x if integers is None else integers, result_type(node)), axis=int(constant(dim, 0)) % x.rank, name=node.name
        )
    )


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


# Elements up to which each is compared with each.
_MOST_COMPARED = 512


@correction(
    "sort.stable", reason="coremltools has no conversion, and MIL does not define the order of equal elements", where_missing=True
)
def stable_sort(context: Any, node: Any) -> None:
    """The place of an element is the number of those before it: of smaller ones, and of equal ones that come first."""
    x, _, dim, descending = arguments(context, node, "self", "stable", "dim", "descending")
    axis = int(constant(dim, -1)) % max(x.rank, 1)
    if x.rank == 0 or x.rank >= MAXIMUM_RANK or any_symbolic(x.shape) or types.is_bool(x.dtype) or x.shape[axis] > _MOST_COMPARED:
        raise NotImplementedError(f"numbers can be sorted stably only along a fixed extent of at most {_MOST_COMPARED}")
    count = x.shape[axis]
    order = [*(a for a in range(x.rank) if a != axis), axis]
    back = [order.index(a) for a in range(x.rank)]
    moved = mb.transpose(x=x, perm=order)
    one, other = mb.expand_dims(x=moved, axes=[x.rank]), mb.expand_dims(x=moved, axes=[x.rank - 1])
    comes_before = (mb.greater if constant(descending, False) else mb.less)(x=other, y=one)
    earlier = np.tril(np.ones((count, count), bool), -1).reshape((1,) * (x.rank - 1) + (count, count))
    is_before = mb.logical_or(x=comes_before, y=mb.logical_and(x=mb.equal(x=other, y=one), y=earlier))
    places = mb.reduce_sum(x=mb.cast(x=is_before, dtype="int32"), axes=[x.rank], keep_dims=True)
    # Which element is at each place: the one whose place it is.
    is_at = mb.cast(x=mb.equal(x=places, y=np.arange(count, dtype=np.int32)), dtype="int32")
    numbers = np.arange(count, dtype=np.int32)[:, None]
    indices = mb.reduce_sum(x=mb.mul(x=is_at, y=numbers), axes=[x.rank - 1], keep_dims=False)
    values = mb.gather_along_axis(x=moved, indices=indices, axis=x.rank - 1)
    context.add((mb.transpose(x=values, perm=back), mb.transpose(x=indices, perm=back)), node.name)


@correction("gelu", reason="coremltools does not read approximate, a keyword argument")
def gelu(context: Any, node: Any) -> None:
    x, approximate = arguments(context, node, "self", "approximate")
    mode = "TANH_APPROXIMATION" if constant(approximate, "none") == "tanh" else "EXACT"
    context.add(mb.gelu(x=x, mode=mode, name=node.name))


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


@correction("trunc", reason="coremltools has no conversion")
def trunc(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    context.add(mb.select(cond=mb.less(x=x, y=number(0, x)), a=mb.ceil(x=x), b=mb.floor(x=x), name=node.name))


@correction("rms_norm", reason="coremltools scales the argument by the largest magnitude, and then adds epsilon without scaling it")
def rms_norm(context: Any, node: Any) -> None:
    """Scaled, too, since squares leave float16's range early; so is epsilon, which also bounds the scale from below."""
    x, shape, weight, epsilon = arguments(context, node, "input", "normalized_shape", "weight", "eps")
    root = float(np.sqrt(constant(epsilon, torch.finfo(node.meta["val"].dtype).eps)))
    axes = list(range(-len(shape.val if isinstance(shape, Var) else shape), 0))
    largest = mb.reduce_max(x=mb.abs(x=x), axes=axes, keep_dims=True)
    scale = mb.maximum(x=largest, y=number(max(root, 2.0**-12), x))
    scaled, epsilon_root = mb.real_div(x=x, y=scale), mb.real_div(x=number(root, x), y=scale)
    square = mb.reduce_mean(x=mb.mul(x=scaled, y=scaled), axes=axes, keep_dims=True)
    square = mb.add(x=square, y=mb.mul(x=epsilon_root, y=epsilon_root))
    result = mb.mul(x=scaled, y=mb.rsqrt(x=square, epsilon=number(0, x)))
    if weight is not None:
        result = mb.mul(x=result, y=weight)
    context.add(mb.identity(x=result, name=node.name))


@correction("prod", "prod.dim_int", reason="coremltools has no conversion")
def prod(context: Any, node: Any) -> None:
    x, *rest = ops._get_inputs(context, node)
    dim = constant(rest[0], None) if rest and node.kind == "prod.dim_int" else None
    keep = bool(constant(rest[1], False)) if len(rest) > 1 and node.kind == "prod.dim_int" else False
    context.add(mb.reduce_prod(x=cast(x, result_type(node)), axes=axes_of(dim, x.rank), keep_dims=keep, name=node.name))


@correction(
    *(
        name
        for name in [
            *("acos", "asin", "atan", "atanh", "cos", "cosh", "erf", "exp", "exp2", "sigmoid", "sin", "sinh"),
            *("sqrt", "tan", "tanh"),
        ]
    ),
    reason="coremltools does not convert integers to floats, and MIL's functions do not accept integers",
)
def float_function(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    if types.is_float(x.dtype):
        getattr(ops, node.kind)(context, node)
        return
    context.add(getattr(mb, node.kind)(x=as_float(x), name=node.name))


@correction(
    "log_softmax", "_log_softmax", reason="coremltools takes the logarithm of the softmax, which is 0 far below the largest"
)
def log_softmax(context: Any, node: Any) -> None:
    x, dim = arguments(context, node, "self", "dim")
    x, axes = cast(x, result_type(node)), [int(constant(dim, 0)) % x.rank]
    below = mb.sub(x=x, y=mb.reduce_max(x=x, axes=axes, keep_dims=True))
    total = mb.reduce_sum(x=mb.exp(x=below), axes=axes, keep_dims=True)
    context.add(mb.sub(x=below, y=mb.log(x=total, epsilon=number(0, x)), name=node.name))


@correction(
    "instance_norm", reason="coremltools normalizes by the statistics of the input, even where torch uses the running statistics"
)
def instance_norm(context: Any, node: Any) -> None:
    names = ("input", "weight", "bias", "running_mean", "running_var", "use_input_stats", "momentum", "eps")
    x, weight, bias, mean, variance, of_input, _, epsilon = arguments(context, node, *names)
    if constant(of_input, True):
        ops.instance_norm(context, node)
        return

    def of_channels(var: Var) -> Var:
        return mb.reshape(x=var, shape=[1, -1, *[1] * (x.rank - 2)])

    deviation = mb.sqrt(x=mb.add(x=variance, y=number(constant(epsilon, 1e-5), variance)))
    x = mb.real_div(x=mb.sub(x=x, y=of_channels(mean)), y=of_channels(deviation))
    x = x if weight is None else mb.mul(x=x, y=of_channels(weight))
    x = x if bias is None else mb.add(x=x, y=of_channels(bias))
    context.add(mb.identity(x=x, name=node.name))


# Vectors are scaled by their largest magnitude, but not by less than this: its inverse is finite in float16.
_SMALLEST_SCALE = 2.0**-14


@correction(
    "cosine_similarity", reason="coremltools bounds the product of squares by the square of epsilon, which float16 rounds up"
)
def cosine_similarity(context: Any, node: Any) -> None:
    x, y, dim, epsilon = arguments(context, node, "x1", "x2", "dim", "eps")
    rank = node.meta["val"].dim() + 1
    if x.shape != y.shape:
        if any_symbolic(x.shape) or any_symbolic(y.shape):
            raise NotImplementedError("vectors of different flexible extents cannot be broadcast against each other")
        x, y = pymil_broadcast_tensors([x, y])
    axes = [int(constant(dim, 1)) % rank]

    def scaled(var: Var) -> tuple[Var, Var]:
        """The vectors, none of whose squares leaves float16, and their lengths, epsilon at least."""
        scale = mb.reduce_max(x=mb.abs(x=var), axes=axes, keep_dims=True)
        scale = mb.maximum(x=scale, y=number(_SMALLEST_SCALE, var))
        var = mb.real_div(x=var, y=scale)
        length = mb.sqrt(x=mb.reduce_sum(x=mb.mul(x=var, y=var), axes=axes, keep_dims=True))
        least = mb.real_div(
            x=number(constant(epsilon, 1e-8) / _SMALLEST_SCALE, var), y=mb.mul(x=scale, y=number(1 / _SMALLEST_SCALE, var))
        )
        return var, mb.maximum(x=length, y=least)

    (x, length_x), (y, length_y) = scaled(x), scaled(y)
    product = mb.mul(x=mb.real_div(x=x, y=length_x), y=mb.real_div(x=y, y=length_y))
    context.add(mb.reduce_sum(x=product, axes=axes, keep_dims=False, name=node.name))


@correction("logcumsumexp", reason="coremltools sums the exponentials without scaling them, so they soon become infinite")
def logcumsumexp(context: Any, node: Any) -> None:
    """Each result from its own largest, of a square of terms: those behind a place are minus infinity for it."""
    x, dim = arguments(context, node, "self", "dim")
    axis, rank = int(constant(dim, 0)) % max(x.rank, 1), x.rank
    if rank == 0 or rank > 4 or any_symbolic([x.shape[axis]]):
        raise NotImplementedError("sums of exponentials can be taken only along fixed extents of at most four dimensions")
    order = [*(a for a in range(rank) if a != axis), axis]
    terms = mb.expand_dims(x=mb.transpose(x=x, perm=order), axes=[rank - 1])
    behind = np.triu(np.full((x.shape[axis],) * 2, -np.inf, types.nptype_from_builtin(x.dtype)), 1)
    terms = mb.add(x=terms, y=behind.reshape((1,) * (rank - 1) + behind.shape))
    largest = mb.reduce_max(x=terms, axes=[-1], keep_dims=True)
    total = mb.reduce_sum(x=mb.exp(x=mb.sub(x=terms, y=largest)), axes=[-1], keep_dims=False)
    result = mb.add(x=mb.log(x=total, epsilon=number(0, x)), y=mb.squeeze(x=largest, axes=[-1]))
    context.add(mb.transpose(x=result, perm=[order.index(a) for a in range(rank)], name=node.name))


@correction(
    "scaled_dot_product_attention",
    reason="the softmax of a row whose keys are all masked is NaN, where torch's attention is 0",
)
def attention(context: Any, node: Any) -> None:
    mask = arguments(context, node, "query", "key", "value", "attn_mask")[3]
    ops.scaled_dot_product_attention(context, node)
    if mask is None:
        return
    if types.is_bool(mask.dtype):
        sees = mb.reduce_max(x=mb.cast(x=mask, dtype="int32"), axes=[-1], keep_dims=True)
        sees = mb.greater(x=sees, y=np.int32(0))
    else:
        sees = mb.reduce_max(x=mask, axes=[-1], keep_dims=True)
        sees = mb.not_equal(x=sees, y=number(-np.inf, sees))
    if sees.val is not None and np.all(sees.val):
        return
    result = context[node.name]
    nothing = mb.mul(
        x=mb.cast(x=mb.not_equal(x=result, y=result), dtype=types.builtin_to_string(result.dtype)), y=number(0, result)
    )
    context.add(mb.select(cond=sees, a=result, b=nothing), torch_name=node.name, override=True)


@correction(
    "softplus",
    "mish",
    reason="the Neural Engine computes log(1 + exp(x)), which from x = 10.4 on is 0",
    reference=CT + "2687",
    on_devices=OnDevices.FLOAT16,
)
def softplus(context: Any, node: Any) -> None:
    """The larger of x and 0, and log(1 + exp(-|x|)) by the inverse hyperbolic tangent: nothing that is large, and nothing lost beside 1."""
    x, beta = arguments(context, node, "self", "beta")
    factor = float(constant(beta, 1.0))
    scaled = x if factor == 1 else mb.mul(x=x, y=number(factor, x))
    small = mb.exp(x=mb.mul(x=mb.abs(x=scaled), y=number(-1, x)))
    small = mb.atanh(x=mb.real_div(x=small, y=mb.add(x=small, y=number(2, x))))
    result = mb.add(x=mb.maximum(x=scaled, y=number(0, x)), y=mb.mul(x=small, y=number(2, x)))
    result = result if factor == 1 else mb.mul(x=result, y=number(1 / factor, x))
    context.add(mb.mul(x=x, y=mb.tanh(x=result), name=node.name) if node.kind == "mish" else mb.identity(x=result, name=node.name))


@correction(
    "logsumexp",
    reason="the Neural Engine sums the exponentials without scaling them, and they leave float16's range from x = 7.6 on",
    reference=CT + "2690",
    on_devices=OnDevices.FLOAT16,
)
def logsumexp(context: Any, node: Any) -> None:
    x, dim, keep = arguments(context, node, "self", "dim", "keepdim")
    x, axes = cast(x, result_type(node)), axes_of(dim, x.rank)
    if not axes:
        context.add(mb.identity(x=x, name=node.name))
        return
    largest = mb.reduce_max(x=x, axes=axes, keep_dims=True)
    # Of nothing but minus infinities the differences are these, of infinities infinite: none is NaN.
    is_infinite = mb.equal(x=mb.abs(x=largest), y=number(np.inf, x))
    zeros = mb.mul(x=mb.cast(x=is_infinite, dtype=types.builtin_to_string(x.dtype)), y=number(0, x))
    largest = mb.select(cond=is_infinite, a=zeros, b=largest)
    total = mb.reduce_sum(x=mb.exp(x=mb.sub(x=x, y=largest)), axes=axes, keep_dims=True)
    result = mb.add(x=mb.log(x=total, epsilon=number(0, x)), y=largest)
    if constant(keep, False):
        context.add(mb.identity(x=result, name=node.name))
    else:
        context.add(mb.squeeze(x=result, axes=axes, name=node.name))
