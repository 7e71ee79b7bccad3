"""ATen ops that ExecuTorch refuses in every program, taken apart to ops that it has and Core ML has.

They are no Core ATen ops, and torch has no decomposition of them, or one to such an op again: without this, `to_edge_transform_and_lower` ends
with a SpecViolationError before the partitioner is asked. What they become is like any other call of the program, inside Core ML or outside.
A function returns NotImplemented for a call of which it has no such form, which stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram

from executorch_coreml.partition import complex_numbers, composites

aten = torch.ops.aten


Parts = tuple[torch.Tensor, ...]


def _scanned(parts: Parts, dim: int, combine: Callable[[Parts, Parts], Parts], before: float | None) -> Parts:
    """What `combine` makes of the elements up to each, along a fixed extent, in as many steps as its logarithm has.

    Args:
        combine: an associative function of what comes earlier and what comes later.
        before: what it leaves the later as it is with; None for the first element, where that is so.
    """
    parts = tuple(part.movedim(dim, -1) for part in parts)
    count, step = parts[0].shape[-1], 1
    while step < count:
        earlier = []
        for part in parts:
            first = part[..., :step]
            filling = part[..., :1].expand(first.shape) if before is None else torch.full_like(first, before)
            earlier.append(torch.cat([filling, part[..., :-step]], -1))
        parts, step = combine(tuple(earlier), parts), 2 * step
    return tuple(part.movedim(-1, dim) for part in parts)


def _is_fixed(x: torch.Tensor, dim: int) -> bool:
    return isinstance(x.shape[dim], int)


def _rows(x: torch.Tensor, dim: int, beyond: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a flexible extent, for which the steps of _scanned() are not known: [..., n] along `dim` -> [..., n, n], whose row i has the elements up to
    the i-th and `beyond` behind them; and where those elements are.

    None for the first element, which every row has anyway.
    """
    x = x.movedim(dim, -1)
    places = torch.arange(x.shape[-1], device=x.device)
    is_up_to = places <= places[:, None]
    filling = x[..., :1, None] if beyond is None else torch.full((), beyond, dtype=x.dtype, device=x.device)
    return torch.where(is_up_to, x[..., None, :], filling), is_up_to


def _cumprod(x: torch.Tensor, dim: int, *, dtype: torch.dtype | None = None) -> torch.Tensor:
    x = x.to(dtype or (x.dtype if x.is_floating_point() else torch.int64))
    if x.dim() == 0:
        return x.clone()
    if _is_fixed(x, dim):
        return _scanned((x,), dim, lambda earlier, later: (earlier[0] * later[0],), 1)[0]
    return _rows(x, dim, 1)[0].prod(-1).movedim(-1, dim)


def _logcumsumexp(x: torch.Tensor, dim: int) -> torch.Tensor:
    if x.dim() == 0:
        return x.clone()
    if _is_fixed(x, dim):
        return _scanned((x,), dim, lambda earlier, later: (torch.logaddexp(earlier[0], later[0]),), -torch.inf)[0]
    return _rows(x, dim, -torch.inf)[0].logsumexp(-1).movedim(-1, dim)


def _later_of_greater(earlier: Parts, later: Parts) -> Parts:
    """The greater value, with its place: of equal ones the later, and NaN before all."""
    is_later = later[0] >= earlier[0]
    if later[0].is_floating_point():
        is_later = later[0].isnan() | (is_later & ~earlier[0].isnan())
    return tuple(torch.where(is_later, b, a) for a, b in zip(earlier, later, strict=True))


def _cummax(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of equal maxima the last one's place, as in torch."""
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    if _is_fixed(x, dim):
        places = torch.arange(x.shape[dim], device=x.device).expand(x.movedim(dim, -1).shape).movedim(-1, dim)
        values, indices = _scanned((x, places), dim, _later_of_greater, None)
        return values, indices
    rows, is_up_to = _rows(x, dim, None)
    values = rows.amax(-1)
    is_it = (rows == values[..., None]) & is_up_to
    if x.is_floating_point():  # NaN is the maximum from where it is on.
        is_it = is_it | (rows.isnan() & is_up_to)
    indices = torch.where(is_it, torch.arange(x.shape[dim], device=x.device), -1).amax(-1)
    return values.movedim(-1, dim), indices.movedim(-1, dim)


def _cummin(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, indices = _cummax(-x if x.is_floating_point() else -x.to(torch.int64), dim)
    return (-values).to(x.dtype), indices


def _search(sorted_: torch.Tensor, x: torch.Tensor, *, right: bool, out_int32: bool) -> torch.Tensor:
    """How many elements of each row of `sorted_` [..., n] are less than (right: or equal to) each element of x [..., m]. NaN is behind all."""
    is_before = sorted_.unsqueeze(-2) <= x.unsqueeze(-1) if right else sorted_.unsqueeze(-2) < x.unsqueeze(-1)
    if x.is_floating_point():
        is_before = is_before | x.isnan().unsqueeze(-1)
    return is_before.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


def _bucketize(x: torch.Tensor, boundaries: torch.Tensor, *, out_int32: bool = False, right: bool = False) -> torch.Tensor:
    return _searchsorted(boundaries, x, out_int32=out_int32, right=right)


def _searchsorted(
    sorted_: torch.Tensor,
    x: torch.Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: torch.Tensor | None = None,
) -> torch.Tensor:
    if sorter is not None:
        sorted_ = sorted_.gather(-1, sorter)
    right = right or side == "right"
    if x.dim() == 0:
        return _search(sorted_, x[None], right=right, out_int32=out_int32)[0]
    return _search(sorted_, x, right=right, out_int32=out_int32)


def _searchsorted_number(sorted_: torch.Tensor, number: float, **options: Any) -> torch.Tensor:
    return _searchsorted(sorted_, torch.scalar_tensor(number, device=sorted_.device), **options)


def _bucketize_number(number: float, boundaries: torch.Tensor, **options: Any) -> torch.Tensor:
    return _searchsorted_number(boundaries, number, **options)


def _kthvalue(x: torch.Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values, indices = x.topk(k, dim, largest=False, sorted=True)
    values, indices = values.narrow(dim, k - 1, 1), indices.narrow(dim, k - 1, 1)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def _median(x: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Of an even number of elements the lower one of the two in the middle; NaN where there is one."""
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values, indices = _kthvalue(x, (x.shape[dim] + 1) // 2, dim, True)
    if x.is_floating_point():
        is_nan = x.isnan()
        has_nan = is_nan.any(dim, keepdim=True)
        values = torch.where(has_nan, torch.nan, values)
        indices = torch.where(has_nan, is_nan.to(torch.int64).argmax(dim, keepdim=True), indices)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def _median_of_all(x: torch.Tensor) -> torch.Tensor:
    return _median(x.reshape(-1), 0)[0]


def _var_mean(
    x: torch.Tensor, dim: list[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    dims = list(range(x.dim())) if dim is None or not len(dim) else dim
    return x.var(dims, correction=1 if correction is None else correction, keepdim=keepdim), x.mean(dims, keepdim=keepdim)


def _std_mean(
    x: torch.Tensor, dim: list[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    variance, mean = _var_mean(x, dim, correction=correction, keepdim=keepdim)
    return variance.sqrt(), mean


def _ldexp(x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    return x * torch.pow(2.0, exponent)


def _dist(x: torch.Tensor, y: torch.Tensor, p: float = 2) -> torch.Tensor:
    return torch.linalg.vector_norm(x - y, p)


def _exp2(x: torch.Tensor) -> torch.Tensor:
    return torch.pow(2.0, x)


def _signbit(x: torch.Tensor) -> torch.Tensor:
    """Of a zero by its inverse; that of a NaN is not known."""
    return (x < 0) | ((x == 0) & (1 / x < 0)) if x.is_floating_point() else x.to(torch.int64) < 0


def _copysign(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    dtype = torch.result_type(x, y)
    magnitude = x.to(dtype if dtype.is_floating_point else torch.get_default_dtype()).abs()
    return torch.where(_signbit(y), -magnitude, magnitude)


def _copysign_number(x: torch.Tensor, number: float) -> torch.Tensor:
    magnitude = (x if x.is_floating_point() else x.to(torch.get_default_dtype())).abs()
    return -magnitude if math.copysign(1.0, number) < 0 else magnitude


def _hypot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """By way of the larger one, whose square may be infinite."""
    x, y = x.abs(), y.abs()
    larger, smaller = torch.maximum(x, y), torch.minimum(x, y)
    ratio = torch.where((larger == 0) | larger.isinf(), torch.zeros_like(larger), smaller / larger)
    return larger * (ratio * ratio + 1).sqrt()


def _fmax(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where(x.isnan(), y, torch.where(y.isnan(), x, torch.maximum(x, y)))


def _fmin(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where(x.isnan(), y, torch.where(y.isnan(), x, torch.minimum(x, y)))


def _round_decimals(x: torch.Tensor, *, decimals: int = 0) -> torch.Tensor:
    if not x.is_floating_point():
        return x.clone()
    power = 10.0 ** abs(decimals)
    return (x * power).round() / power if decimals >= 0 else (x / power).round() * power


def _remainder_of_number(number: float, x: torch.Tensor) -> torch.Tensor:
    return torch.remainder(torch.scalar_tensor(number, dtype=torch.result_type(x, number)), x)


_SHIFTED = (torch.int32, torch.int64)


def _shifted_left(x: torch.Tensor, bits: torch.Tensor | int) -> torch.Tensor:
    if x.dtype not in _SHIFTED:
        return NotImplemented
    return x * 2**bits if isinstance(bits, int) else x * torch.pow(2, bits)


def _shifted_right(x: torch.Tensor, bits: torch.Tensor | int) -> torch.Tensor:
    if x.dtype not in _SHIFTED:
        return NotImplemented
    return torch.div(x, 2**bits if isinstance(bits, int) else torch.pow(2, bits), rounding_mode="floor")


def _added(x: torch.Tensor, product: torch.Tensor, beta: float, alpha: float) -> torch.Tensor:
    """beta x + alpha product; for integers the factors are cut to integers, and for beta = 0 a NaN of x does not count."""
    if not product.is_floating_point():
        beta, alpha = int(beta), int(alpha)
    return product * alpha if beta == 0 else x * beta + product * alpha


def _addbmm(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
    return _added(x, torch.bmm(a, b).sum(0, dtype=a.dtype), beta, alpha)


def _addmv(x: torch.Tensor, matrix: torch.Tensor, vector: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
    return _added(x, (matrix @ vector[:, None])[:, 0], beta, alpha)


def _trilinear(
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    expand_a: list[int],
    expand_b: list[int],
    expand_c: list[int],
    summed: list[int],
    unroll: int = 1,
) -> torch.Tensor:
    factors = []
    for factor, dims in ((a, expand_a), (b, expand_b), (c, expand_c)):
        for dim in dims:
            factor = factor.unsqueeze(dim)
        factors.append(factor)
    product = factors[0] * factors[1] * factors[2]
    return product.sum(summed, dtype=product.dtype) if len(summed) else product


def _put(x: torch.Tensor, index: torch.Tensor, source: torch.Tensor, accumulate: bool = False) -> torch.Tensor:
    return x.reshape(-1).index_put((index.reshape(-1),), source.reshape(-1), accumulate).reshape(x.shape)


def _diagonal_scatter(x: torch.Tensor, source: torch.Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> torch.Tensor:
    """Each row (or, below the diagonal, each column) has one element of the diagonal."""
    if not (_is_fixed(x, dim1) and _is_fixed(x, dim2)):
        return NotImplemented
    dims = (dim1 % x.dim(), dim2 % x.dim())
    moved = x.movedim(dims, (-2, -1))
    rows, columns = torch.arange(moved.shape[-2])[:, None], torch.arange(moved.shape[-1])
    number = (rows if offset >= 0 else columns).clamp(max=source.shape[-1] - 1)
    values = source.index_select(-1, number.reshape(-1)).unsqueeze(-1 if offset >= 0 else -2)
    return torch.where(rows + offset == columns, values, moved).movedim((-2, -1), dims)


def _of_triangle(firsts: list[int], counts: list[int], dtype: torch.dtype) -> torch.Tensor:
    """The places of a triangle, row by row, of which each row has `counts` elements from a first column on: [2, elements]."""
    made = [
        torch.stack([torch.full((count,), row, dtype=dtype), torch.arange(first, first + count, dtype=dtype)])
        for row, (first, count) in enumerate(zip(firsts, counts, strict=True))
        if count
    ]
    return torch.cat(made, 1) if made else NotImplemented


def _tril_indices(rows: int, columns: int, offset: int = 0, *, dtype: torch.dtype = torch.int64, **options: Any) -> torch.Tensor:
    return _of_triangle([0] * rows, [min(max(row + offset + 1, 0), columns) for row in range(rows)], dtype)


def _triu_indices(rows: int, columns: int, offset: int = 0, *, dtype: torch.dtype = torch.int64, **options: Any) -> torch.Tensor:
    firsts = [min(max(row + offset, 0), columns) for row in range(rows)]
    return _of_triangle(firsts, [columns - first for first in firsts], dtype)


def _repeats(repeats: torch.Tensor, *, output_size: int | None = None) -> torch.Tensor:
    """The number of each element as often as it is repeated, where it is said how many there are in all."""
    if output_size is None:
        return NotImplemented
    return (repeats.cumsum(0) <= torch.arange(output_size)[:, None]).sum(-1, dtype=repeats.dtype)


def _scatter_reduced(x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, reduce: str) -> torch.Tensor:
    if reduce == "add":
        return torch.scatter_add(x, dim, index, source)
    return torch.scatter_reduce(x, dim, index, source, "prod", include_self=True)


def _scatter_reduced_number(x: torch.Tensor, dim: int, index: torch.Tensor, value: float, *, reduce: str) -> torch.Tensor:
    return _scatter_reduced(x, dim, index, torch.full_like(index, value, dtype=x.dtype), reduce=reduce)


def _index_reduced(
    x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, reduce: str, *, include_self: bool = True
) -> torch.Tensor:
    if x.dim() == 0:
        return NotImplemented
    shape = [1] * x.dim()
    shape[dim] = -1
    return torch.scatter_reduce(x, dim, index.reshape(shape).expand(source.shape), source, reduce, include_self=include_self)


def _windows(extent: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The places of the `count` windows that an adaptive pooling has along an extent, [count, longest]; and which of them are in the window.

    Those that are not repeat its last place.
    """
    numbers = torch.arange(count)
    begins = torch.div(numbers * extent, count, rounding_mode="floor")
    ends = -torch.div((numbers + 1) * -extent, count, rounding_mode="floor")
    longest = max(-(-(i + 1) * extent // count) - i * extent // count for i in range(count))
    places = begins[:, None] + torch.arange(longest)
    return torch.minimum(places, ends[:, None] - 1), places < ends[:, None]


def _adaptive_max_pool(x: torch.Tensor, output_size: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the last dimensions, as many as there are output sizes; with the places of the maxima in the flattened input."""
    count = len(output_size)
    extents = x.shape[-count:]
    if not all(isinstance(extent, int) for extent in extents):
        return NotImplemented
    if all(extent % size == 0 for extent, size in zip(extents, output_size, strict=True)):
        pool = aten.max_pool2d_with_indices if count == 2 else aten.max_pool3d_with_indices
        kernel = [extent // size for extent, size in zip(extents, output_size, strict=True)]
        if x.dim() > count + 1:
            return pool.default(x, kernel, kernel)
        values, indices = pool.default(x[None], kernel, kernel)
        return values[0], indices[0]
    flat = torch.zeros([1, 1], dtype=torch.int64)
    for extent, size in zip(extents, output_size, strict=True):
        places, _ = _windows(extent, size)
        flat = flat[:, None, :, None] * extent + places[None, :, None, :]
        flat = flat.reshape(flat.shape[0] * flat.shape[1], flat.shape[2] * flat.shape[3])
    taken = x.flatten(-count).index_select(-1, flat.reshape(-1))
    taken = taken.reshape(*taken.shape[:-1], *flat.shape)
    values, which = taken.max(-1)
    indices = flat.expand(taken.shape).gather(-1, which[..., None])[..., 0]
    shape = [*values.shape[:-1], *output_size]
    return values.reshape(shape), indices.reshape(shape)


def _adaptive_avg_pool3d(x: torch.Tensor, output_size: list[int]) -> torch.Tensor:
    """The mean along each dimension is a product with a matrix."""
    extents = x.shape[-3:]
    if not all(isinstance(extent, int) for extent in extents):
        return NotImplemented
    if all(extent % size == 0 for extent, size in zip(extents, output_size, strict=True)):
        kernel = [extent // size for extent, size in zip(extents, output_size, strict=True)]
        return torch.nn.functional.avg_pool3d(x, kernel, kernel)
    for dim, size in zip((-3, -2, -1), output_size, strict=True):
        places, is_inside = _windows(x.shape[dim], size)
        weight = ((places[..., None] == torch.arange(x.shape[dim])) & is_inside[..., None]).sum(1).to(x.dtype)
        weight = weight / weight.sum(1, keepdim=True)
        x = (x.movedim(dim, -1) @ weight.t()).movedim(-1, dim)
    return x


# embedding_bag's modes.
_SUM, _MEAN = 0, 1


def _embedding_bags(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = _SUM,
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The result, and in place of what only gradients need the bags' sizes."""
    starts = offsets[:-1] if include_last_offset else offsets
    places = torch.arange(indices.shape[0])
    bag = (starts <= places[:, None]).sum(-1) - 1
    is_in = bag[:, None] == torch.arange(starts.shape[0])
    if padding_idx >= 0:
        is_in = is_in & (indices != padding_idx)[:, None]
    rows, sizes = torch.nn.functional.embedding(indices, weight), is_in.sum(0)
    if mode in (_SUM, _MEAN):
        rows = rows if per_sample_weights is None else rows * per_sample_weights[:, None]
        result = is_in.to(rows.dtype).t() @ rows
        result = result / sizes.clamp(min=1)[:, None] if mode == _MEAN else result
    else:
        result = torch.where(is_in[..., None], rows[:, None], -torch.inf).amax(0)
        result = torch.where((sizes == 0)[:, None], 0.0, result)
    return result, bag, sizes, sizes


def _exponential(x: torch.Tensor, lambd: float = 1.0, *, generator: None = None) -> torch.Tensor:
    return torch.log1p(-torch.rand(x.shape, dtype=x.dtype)) / -lambd


def _multinomial(x: torch.Tensor, num_samples: int, replacement: bool = False, *, generator: None = None) -> torch.Tensor:
    """Weights over exponential numbers: the largest are drawn as often as the weights say."""
    if not replacement:
        return (x / _exponential(x)).topk(num_samples, -1)[1]
    rows = x.unsqueeze(-2).expand(*x.shape[:-1], num_samples, x.shape[-1])
    return (rows / _exponential(rows)).argmax(-1)


def _random_like(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda x, *, dtype=None, **options: make(x.shape, dtype=dtype or x.dtype)


def _histc(x: torch.Tensor, bins: int = 100, min: float = 0, max: float = 0) -> torch.Tensor:
    """Of a range that is given: bins of one width, the last of which has max. Counted in integers."""
    if min == max:
        return NotImplemented
    flat = x.reshape(-1)
    edges = torch.arange(bins).to(x.dtype) * ((max - min) / bins) + min
    # Numbers in a bin or a later one.
    counts = ((flat >= edges[:, None]) & (flat <= max)).sum(1)
    later = torch.nn.functional.pad(counts[1:], (0, 1)) if bins > 1 else torch.zeros_like(counts)
    return (counts - later).to(x.dtype)


# Elements up to which each is compared with each.
_MOST_COMPARED = 1024


def _stable_sort(
    x: torch.Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of an element is the number of those before it: of smaller ones, and of equal ones that come first. NaN is behind all."""
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    if not _is_fixed(x, dim) or x.shape[dim] > _MOST_COMPARED:
        return NotImplemented
    x = x.movedim(dim, -1)
    one, other = x[..., None], x[..., None, :]
    comes_before, is_equal = other > one if descending else other < one, other == one
    if x.is_floating_point():
        one_is_nan, other_is_nan = x.isnan()[..., None], x.isnan()[..., None, :]
        is_equal = is_equal | (one_is_nan & other_is_nan)
        comes_before = comes_before | ((other_is_nan & ~one_is_nan) if descending else (one_is_nan & ~other_is_nan))
    numbers = torch.arange(x.shape[-1])
    places = (comes_before | (is_equal & (numbers < numbers[:, None]))).sum(-1)
    indices = torch.zeros_like(places).scatter(-1, places, numbers.expand(places.shape))
    return x.gather(-1, indices).movedim(-1, dim), indices.movedim(-1, dim)


_TABLE: dict[OpOverload, Callable[..., Any]] = {
    aten.cumprod.default: _cumprod,
    aten.logcumsumexp.default: _logcumsumexp,
    aten.cummax.default: _cummax,
    aten.cummin.default: _cummin,
    aten.bucketize.Tensor: _bucketize,
    aten.bucketize.Scalar: _bucketize_number,
    aten.searchsorted.Tensor: _searchsorted,
    aten.searchsorted.Scalar: _searchsorted_number,
    aten.kthvalue.default: _kthvalue,
    aten.median.dim: _median,
    aten.median.default: _median_of_all,
    aten.var_mean.correction: _var_mean,
    aten.std_mean.correction: _std_mean,
    aten.var_mean.dim: lambda x, dim, unbiased=True, keepdim=False: _var_mean(x, dim, correction=int(unbiased), keepdim=keepdim),
    aten.std_mean.dim: lambda x, dim, unbiased=True, keepdim=False: _std_mean(x, dim, correction=int(unbiased), keepdim=keepdim),
    aten.var_mean.default: lambda x, unbiased=True: _var_mean(x, correction=int(unbiased)),
    aten.std_mean.default: lambda x, unbiased=True: _std_mean(x, correction=int(unbiased)),
    aten.ldexp.Tensor: _ldexp,
    aten.dist.default: _dist,
    aten.exp2.default: _exp2,
    aten.signbit.default: _signbit,
    aten.copysign.Tensor: _copysign,
    aten.copysign.Scalar: _copysign_number,
    aten.hypot.default: _hypot,
    aten.fmax.default: _fmax,
    aten.fmin.default: _fmin,
    aten.round.decimals: _round_decimals,
    aten.remainder.Scalar_Tensor: _remainder_of_number,
    aten.__lshift__.Scalar: _shifted_left,
    aten.__lshift__.Tensor: _shifted_left,
    aten.bitwise_left_shift.Tensor: _shifted_left,
    aten.bitwise_left_shift.Tensor_Scalar: _shifted_left,
    aten.__rshift__.Scalar: _shifted_right,
    aten.__rshift__.Tensor: _shifted_right,
    aten.bitwise_right_shift.Tensor: _shifted_right,
    aten.bitwise_right_shift.Tensor_Scalar: _shifted_right,
    aten.bitwise_and.Scalar_Tensor: lambda number, x: torch.bitwise_and(x, number),
    aten.bitwise_or.Scalar_Tensor: lambda number, x: torch.bitwise_or(x, number),
    aten.bitwise_xor.Scalar_Tensor: lambda number, x: torch.bitwise_xor(x, number),
    aten.addbmm.default: _addbmm,
    aten.addmv.default: _addmv,
    aten._trilinear.default: _trilinear,
    aten.put.default: _put,
    aten.diagonal_scatter.default: _diagonal_scatter,
    aten.tril_indices.default: _tril_indices,
    aten.triu_indices.default: _triu_indices,
    aten.repeat_interleave.Tensor: _repeats,
    aten.scatter.reduce: _scatter_reduced,
    aten.scatter.value_reduce: _scatter_reduced_number,
    aten.index_reduce.default: _index_reduced,
    aten.adaptive_max_pool2d.default: _adaptive_max_pool,
    aten.adaptive_max_pool3d.default: _adaptive_max_pool,
    aten._adaptive_avg_pool3d.default: _adaptive_avg_pool3d,
    aten._embedding_bag_forward_only.default: _embedding_bags,
    aten.exponential.default: _exponential,
    aten.multinomial.default: _multinomial,
    aten.bernoulli.p: lambda x, p=0.5, *, generator=None: (torch.rand(x.shape) < p).to(x.dtype),
    aten.rand_like.default: _random_like(torch.rand),
    aten.randn_like.default: _random_like(torch.randn),
    aten.histc.default: _histc,
    aten.sort.stable: _stable_sort,
}


# What functionalization makes of a view that is written to.
_SCATTERS = {aten.diagonal.default: aten.diagonal_scatter.default}


def _functional(op: OpOverload) -> OpOverload:
    """The op that functionalization makes of one that writes to its argument."""
    name, overload = op._schema.name.removeprefix("aten::"), op._overloadname
    if not op._schema.is_mutable or op.namespace != "aten" or not name.endswith("_") or not hasattr(aten, name[:-1]):
        return op
    packet = getattr(aten, name[:-1])
    return getattr(packet, overload) if overload in packet.overloads() else op


def _needed(program: ExportedProgram) -> dict[OpOverload, Callable[..., Any]]:
    """What takes apart the calls of these ops, and the calls of others that consist of such."""
    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    # One call of each form tells of the others.
    calls = {_form(node): node for graph in graphs for node in graph.nodes if isinstance(node.target, OpOverload)}
    table: dict[OpOverload, Callable[..., Any]] = {}
    for node in calls.values():
        made = {_functional(node.target), _SCATTERS.get(node.target, node.target)} & _TABLE.keys()
        table.update((op, _TABLE[op]) for op in made)
        if not made and composites.is_composite(node.target) and not _TABLE.keys().isdisjoint(composites.ops_of(node)):
            table[node.target] = composites.decomposition(node.target)
    return table


def taken_apart(program: ExportedProgram) -> ExportedProgram:
    """The ATen program without calls of these ops, and without complex numbers; itself where it has none."""
    while table := _needed(program):
        program = program.run_decompositions(table)
        if table.keys() <= _TABLE.keys():  # What is left has no form here.
            break
    return complex_numbers.in_real_numbers(program)


def _form(node: torch.fx.Node) -> str:
    """The same for calls of one op with like arguments."""
    arguments = torch.fx.node.map_arg((node.args, node.kwargs), lambda source: f"{getattr(source.meta.get('val'), 'dtype', '')}")
    return f"{node.target} {arguments}"
