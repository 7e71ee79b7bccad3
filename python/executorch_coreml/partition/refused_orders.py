"""Running reductions, searches, sorts and counts that ExecuTorch refuses (refused_ops.py), of ops that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Parts = tuple[torch.Tensor, ...]
# Elements up to which each is compared with each.
_MOST_COMPARED = 1024


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


def cumprod(x: torch.Tensor, dim: int, *, dtype: torch.dtype | None = None) -> torch.Tensor:
    x = x.to(dtype or (x.dtype if x.is_floating_point() else torch.int64))
    if x.dim() == 0:
        return x.clone()
    if _is_fixed(x, dim):
        return _scanned((x,), dim, lambda earlier, later: (earlier[0] * later[0],), 1)[0]
    return _rows(x, dim, 1)[0].prod(-1).movedim(-1, dim)


def logcumsumexp(x: torch.Tensor, dim: int) -> torch.Tensor:
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


def cummax(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
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


def cummin(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, indices = cummax(-x if x.is_floating_point() else -x.to(torch.int64), dim)
    return (-values).to(x.dtype), indices


def _search(sorted_: torch.Tensor, x: torch.Tensor, *, right: bool, out_int32: bool) -> torch.Tensor:
    """How many elements of each row of `sorted_` [..., n] are less than (right: or equal to) each element of x [..., m]. NaN is behind all."""
    is_before = sorted_.unsqueeze(-2) <= x.unsqueeze(-1) if right else sorted_.unsqueeze(-2) < x.unsqueeze(-1)
    if x.is_floating_point():
        is_before = is_before | x.isnan().unsqueeze(-1)
    return is_before.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


def bucketize(x: torch.Tensor, boundaries: torch.Tensor, *, out_int32: bool = False, right: bool = False) -> torch.Tensor:
    return searchsorted(boundaries, x, out_int32=out_int32, right=right)


def searchsorted(
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


def searchsorted_number(sorted_: torch.Tensor, number: float, **options: Any) -> torch.Tensor:
    return searchsorted(sorted_, torch.scalar_tensor(number, device=sorted_.device), **options)


def bucketize_number(number: float, boundaries: torch.Tensor, **options: Any) -> torch.Tensor:
    return searchsorted_number(boundaries, number, **options)


def kthvalue(x: torch.Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values, indices = x.topk(k, dim, largest=False, sorted=True)
    values, indices = values.narrow(dim, k - 1, 1), indices.narrow(dim, k - 1, 1)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def median(x: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Of an even number of elements the lower one of the two in the middle; NaN where there is one."""
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values, indices = kthvalue(x, (x.shape[dim] + 1) // 2, dim, True)
    if x.is_floating_point():
        is_nan = x.isnan()
        has_nan = is_nan.any(dim, keepdim=True)
        values = torch.where(has_nan, torch.nan, values)
        indices = torch.where(has_nan, is_nan.to(torch.int64).argmax(dim, keepdim=True), indices)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def median_of_all(x: torch.Tensor) -> torch.Tensor:
    return median(x.reshape(-1), 0)[0]


def nanmedian(x: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the elements that are numbers: of an even count the lower one of the two in the middle; NaN where none is."""
    if not x.is_floating_point():
        return median(x, dim, keepdim)
    is_nan = x.isnan()
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values, indices = torch.where(is_nan, torch.inf, x).sort(dim)
    count = (~is_nan).sum(dim, keepdim=True)
    place = torch.div((count - 1).clamp(min=0), 2, rounding_mode="floor")
    values, indices = torch.where(count == 0, torch.nan, values.gather(dim, place)), indices.gather(dim, place)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def nanmedian_of_all(x: torch.Tensor) -> torch.Tensor:
    return nanmedian(x.reshape(-1), 0)[0]


def mode(x: torch.Tensor, dim: int = -1, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """The least of the most frequent elements, and its last place. Each element is compared with each."""
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    if not _is_fixed(x, dim) or x.shape[dim] > _MOST_COMPARED or x.dtype == torch.bool:
        return NotImplemented
    moved = x.movedim(dim, -1)
    count = (moved[..., None] == moved[..., None, :]).sum(-1)
    is_most = count == count.amax(-1, keepdim=True)
    values = torch.where(is_most, moved, moved.amax(-1, keepdim=True)).amin(-1, keepdim=True)
    indices = torch.where(is_most & (moved == values), torch.arange(moved.shape[-1]), -1).amax(-1, keepdim=True)
    if not keepdim:
        return values.squeeze(-1), indices.squeeze(-1)
    return values.movedim(-1, dim), indices.movedim(-1, dim)


def histc(x: torch.Tensor, bins: int = 100, min: float = 0, max: float = 0) -> torch.Tensor:
    """Of a range that is given: bins of one width, the last of which has max. Counted in integers."""
    if min == max:
        return NotImplemented
    flat = x.reshape(-1)
    edges = torch.arange(bins).to(x.dtype) * ((max - min) / bins) + min
    # Numbers in a bin or a later one.
    counts = ((flat >= edges[:, None]) & (flat <= max)).sum(1)
    later = torch.nn.functional.pad(counts[1:], (0, 1)) if bins > 1 else torch.zeros_like(counts)
    return (counts - later).to(x.dtype)


def stable_sort(
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
