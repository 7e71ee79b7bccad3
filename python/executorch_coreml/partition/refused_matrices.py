"""Products, means, determinants and solutions that ExecuTorch refuses (refused_ops.py), of ops that it has."""

from __future__ import annotations

from typing import Any

import torch


def var_mean(
    x: torch.Tensor, dim: list[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    dims = list(range(x.dim())) if dim is None or not len(dim) else dim
    return x.var(dims, correction=1 if correction is None else correction, keepdim=keepdim), x.mean(dims, keepdim=keepdim)


def std_mean(
    x: torch.Tensor, dim: list[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    variance, mean = var_mean(x, dim, correction=correction, keepdim=keepdim)
    return variance.sqrt(), mean


def dist(x: torch.Tensor, y: torch.Tensor, p: float = 2) -> torch.Tensor:
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


def inverse(a: torch.Tensor) -> Any:
    found = _eliminated(a, torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand(a.shape))
    return NotImplemented if found is None else found[0]


def determinant(a: torch.Tensor) -> Any:
    found = _eliminated(a, a[..., :0])
    return NotImplemented if found is None else found[1]


def sign_and_log_determinant(a: torch.Tensor) -> Any:
    found = _eliminated(a, a[..., :0])
    return NotImplemented if found is None else (found[1].sign(), found[1].abs().log())


def log_determinant(a: torch.Tensor) -> Any:
    """NaN for negative ones."""
    found = _eliminated(a, a[..., :0])
    return NotImplemented if found is None else found[1].log()


def solution(a: torch.Tensor, b: torch.Tensor, *, left: bool = True) -> Any:
    """b is a vector where torch takes it for one: if it has one dimension, or a's shape without the last extent."""
    if 0 in (*a.shape, *b.shape):
        return NotImplemented
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


def cholesky(a: torch.Tensor, upper: bool = False) -> Any:
    """The factor of a small symmetric positive definite matrix, column by column."""
    count = a.shape[-1]
    if not isinstance(count, int) or not 1 <= count <= _MOST_ROWS:
        return NotImplemented
    a = a.mT if upper else a
    places, rest = torch.arange(count, device=a.device), a
    columns: list[torch.Tensor] = []
    for column in range(count):
        factor = rest[..., column] / rest[..., column : column + 1, column].sqrt()
        factor = torch.where(places >= column, factor, 0)
        columns.append(factor)
        rest = rest - factor[..., :, None] * factor[..., None, :]
    return torch.stack(columns, -2 if upper else -1)


def cholesky_ex(a: torch.Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """With 0 for the matrices that have such a factor, and for others the number of the first column that has none."""
    factor = cholesky(a, upper)
    if factor is NotImplemented:
        return NotImplemented
    diagonal = torch.stack([factor[..., row, row] for row in range(a.shape[-1])], -1)
    is_none = ~(diagonal > 0)
    first = is_none.to(torch.int32).argmax(-1) + 1
    return factor, torch.where(is_none.any(-1), first, 0).to(torch.int32)


def cholesky_solve(b: torch.Tensor, factor: torch.Tensor, upper: bool = False) -> Any:
    return solution(factor.mT @ factor if upper else factor @ factor.mT, b)


def cholesky_inverse(factor: torch.Tensor, upper: bool = False) -> Any:
    return inverse(factor.mT @ factor if upper else factor @ factor.mT)


def _added(x: torch.Tensor, product: torch.Tensor, beta: float, alpha: float) -> torch.Tensor:
    """beta x + alpha product; for integers the factors are cut to integers, and for beta = 0 a NaN of x does not count."""
    if not product.is_floating_point():
        beta, alpha = int(beta), int(alpha)
    return product * alpha if beta == 0 else x * beta + product * alpha


def addbmm(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
    return _added(x, torch.bmm(a, b).sum(0, dtype=a.dtype), beta, alpha)


def addmv(x: torch.Tensor, matrix: torch.Tensor, vector: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
    return _added(x, (matrix @ vector[:, None])[:, 0], beta, alpha)


def trilinear(
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
