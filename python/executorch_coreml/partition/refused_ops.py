"""ATen ops that ExecuTorch refuses in every program, taken apart to ops that it has and Core ML has.

They are no Core ATen ops, and torch has no decomposition of them, or one to such an op again: without this, `to_edge_transform_and_lower` ends
with a SpecViolationError before the partitioner is asked. What they become is like any other call of the program, inside Core ML or outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram

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
    values, indices = _cummax(-x, dim)
    return -values, indices


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
    values, indices = x.topk(k, dim, largest=False, sorted=True)
    values, indices = values.narrow(dim, k - 1, 1), indices.narrow(dim, k - 1, 1)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def _median(x: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Of an even number of elements the lower one of the two in the middle; NaN where there is one."""
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


# Rows and columns of the largest matrix whose elimination is written out.
_MOST_ROWS = 8


def _eliminated(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """[..., n, n] and [..., n, m] -> the solution of a x = b, and a's determinant: Gauss and Jordan, each pivot the largest of its column.

    None where n is flexible or large.
    """
    count = a.shape[-1]
    if not isinstance(count, int) or not 1 <= count <= _MOST_ROWS:
        return None
    rows = torch.cat([a, b], -1)
    determinant = torch.ones_like(a[..., 0, 0])
    places = torch.arange(count, device=a.device)
    for column in range(count):
        chosen = torch.where(places >= column, rows[..., column].abs(), -1).argmax(-1, keepdim=True)
        is_chosen = (places == chosen)[..., None]
        pivot = torch.where(is_chosen, rows, 0).sum(-2)
        value = pivot[..., column]
        determinant = determinant * torch.where(chosen[..., 0] == column, value, -value)
        pivot = (pivot / value[..., None])[..., None, :]
        rows = torch.where(is_chosen, rows[..., column : column + 1, :], rows)
        rows = torch.where((places == column)[:, None], pivot, rows - rows[..., column : column + 1] * pivot)
    return rows[..., count:], determinant


def _inverse(a: torch.Tensor) -> Any:
    found = _eliminated(a, torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand(a.shape))
    return NotImplemented if found is None else found[0]


def _determinant(a: torch.Tensor) -> Any:
    found = _eliminated(a, a[..., :0])
    return NotImplemented if found is None else found[1]


def _solution(a: torch.Tensor, b: torch.Tensor, *, left: bool = True) -> Any:
    """b is a vector where torch takes it for one: if it has one dimension, or a's shape without the last extent."""
    is_vector = b.dim() == 1 or (a.dim() - 1 == b.dim() and tuple(b.shape) == tuple(a.shape[:-1]))
    if not left:
        a, b = (a.mT, b) if is_vector else (a.mT, b.mT)
    b = b[..., None] if is_vector else b
    batch = (a[..., 0, 0] + b[..., 0, 0]).shape
    found = _eliminated(a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:]))
    if found is None:
        return NotImplemented
    solution = found[0]
    if is_vector:
        return solution[..., 0]
    return solution if left else solution.mT


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
    aten.linalg_inv.default: _inverse,
    aten.inverse.default: _inverse,
    aten.linalg_det.default: _determinant,
    aten.det.default: _determinant,
    aten.linalg_solve.default: _solution,
}


def taken_apart(program: ExportedProgram) -> ExportedProgram:
    """The ATen program without calls of these ops; itself where it has none."""
    graphs = (module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule))
    found = {node.target for graph in graphs for node in graph.nodes if node.op == "call_function"} & _TABLE.keys()
    if not found:
        return program
    return program.run_decompositions({op: _TABLE[op] for op in found})
