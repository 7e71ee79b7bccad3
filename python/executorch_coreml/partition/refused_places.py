"""What ExecuTorch refuses (refused_ops.py) of reading, writing and pooling by place, of ops that it has."""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten


def put(x: torch.Tensor, index: torch.Tensor, source: torch.Tensor, accumulate: bool = False) -> torch.Tensor:
    return x.reshape(-1).index_put((index.reshape(-1),), source.reshape(-1), accumulate).reshape(x.shape)


def nonzero(x: torch.Tensor) -> torch.Tensor:
    """Of at least one dimension. ExecuTorch has a kernel, but torch lays the result out by columns, and the kernel writes rows."""
    if x.dim() == 0:
        return NotImplemented
    places = torch.arange(x.numel()).reshape(x.shape)[x != 0]
    # Not as columns that are joined: its kernel forgets the extent of what has no elements.
    steps, step = [], 1
    for extent in reversed(x.shape):
        steps.append(step)
        step = step * extent
    per_step = torch.div(places.unsqueeze(1), _numbers(steps[::-1]), rounding_mode="floor")
    return torch.remainder(per_step, _numbers(list(x.shape)))


def _numbers(extents: list[int]) -> torch.Tensor:
    return torch.stack([torch.scalar_tensor(extent, dtype=torch.int64) for extent in extents])


def masked_select(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    shape = torch.broadcast_shapes(x.shape, mask.shape)  # type: ignore[no-untyped-call]
    return x.expand(shape)[mask.expand(shape)]


def diagonal_scatter(x: torch.Tensor, source: torch.Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> torch.Tensor:
    """Each row (or, below the diagonal, each column) has one element of the diagonal."""
    if not (isinstance(x.shape[dim1], int) and isinstance(x.shape[dim2], int)):
        return NotImplemented
    dims = (dim1 % x.dim(), dim2 % x.dim())
    moved = x.movedim(dims, (-2, -1))
    rows, columns = torch.arange(moved.shape[-2])[:, None], torch.arange(moved.shape[-1])
    number = (rows if offset >= 0 else columns).clamp(max=source.shape[-1] - 1)
    values = source.index_select(-1, number.reshape(-1)).unsqueeze(-1 if offset >= 0 else -2)
    return torch.where(rows + offset == columns, values, moved).movedim((-2, -1), dims)


def as_strided_scatter(
    x: torch.Tensor, source: torch.Tensor, size: list[int], stride: list[int], storage_offset: int | None = None
) -> torch.Tensor:
    """As `fill_diagonal_` writes: where x lies in memory as it is counted, the places of the elements are numbers."""
    extents = (*x.shape, *size, *stride, storage_offset or 0)
    is_whole = x.is_contiguous() and x.storage_offset() == 0
    if not all(isinstance(extent, int) for extent in extents) or not is_whole or 0 in size:
        return NotImplemented
    if (storage_offset or 0) + sum((extent - 1) * step for extent, step in zip(size, stride, strict=True)) >= x.numel():
        return NotImplemented
    places = torch.full((), storage_offset or 0, dtype=torch.int64)
    for extent, step in zip(size, stride, strict=True):
        places = places[..., None] + torch.arange(extent) * step
    return x.reshape(-1).index_put((places.reshape(-1),), source.reshape(-1)).reshape(x.shape)


def _of_triangle(firsts: list[int], counts: list[int], dtype: torch.dtype) -> torch.Tensor:
    """The places of a triangle, row by row, of which each row has `counts` elements from a first column on: [2, elements]."""
    made = [
        torch.stack([torch.full((count,), row, dtype=dtype), torch.arange(first, first + count, dtype=dtype)])
        for row, (first, count) in enumerate(zip(firsts, counts, strict=True))
        if count
    ]
    return torch.cat(made, 1) if made else torch.zeros((2, 0), dtype=dtype)


def tril_indices(rows: int, columns: int, offset: int = 0, *, dtype: torch.dtype = torch.int64, **options: Any) -> torch.Tensor:
    return _of_triangle([0] * rows, [min(max(row + offset + 1, 0), columns) for row in range(rows)], dtype)


def triu_indices(rows: int, columns: int, offset: int = 0, *, dtype: torch.dtype = torch.int64, **options: Any) -> torch.Tensor:
    firsts = [min(max(row + offset, 0), columns) for row in range(rows)]
    return _of_triangle(firsts, [columns - first for first in firsts], dtype)


def repeats(repeats: torch.Tensor, *, output_size: int | None = None) -> torch.Tensor:
    """The number of each element as often as it is repeated, where it is said how many there are in all."""
    if output_size is None:
        return NotImplemented
    return (repeats.cumsum(0) <= torch.arange(output_size)[:, None]).sum(-1, dtype=repeats.dtype)


def scatter_reduced(x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, reduce: str) -> torch.Tensor:
    if reduce == "add":
        return torch.scatter_add(x, dim, index, source)
    return torch.scatter_reduce(x, dim, index, source, "prod", include_self=True)


def scatter_reduced_number(x: torch.Tensor, dim: int, index: torch.Tensor, value: float, *, reduce: str) -> torch.Tensor:
    return scatter_reduced(x, dim, index, torch.full_like(index, value, dtype=x.dtype), reduce=reduce)


def index_reduced(
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


def adaptive_max_pool(x: torch.Tensor, output_size: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
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


def adaptive_avg_pool3d(x: torch.Tensor, output_size: list[int]) -> torch.Tensor:
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


def embedding_bags(
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
