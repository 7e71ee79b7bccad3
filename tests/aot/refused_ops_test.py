"""Ops that ExecuTorch refuses are taken apart: the calls go to Core ML whole, and are right, at fixed and at flexible extents."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import pytest
import torch
from aot_lowering import export, lower, outside
from executorch.backends.apple.coreml.partition import CoreMLPartitioner, refused_functions, refused_ops, scalars
from executorch.exir import EdgeCompileConfig, to_edge, to_edge_transform_and_lower
from executorch.runtime import Runtime
from running import execute
from torch.export import Dim
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._python_dispatch import TorchDispatchMode

F = torch.nn.functional

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
NAN = X.clone()
NAN[1, 2] = torch.nan
EQUAL = torch.tensor([[1.0, 3.0, 3.0, 2.0], [2.0, 2.0, 1.0, 2.0], [-1.0, -1.0, -2.0, 0.0]])
INTEGERS = torch.randint(-5, 6, (3, 4), generator=torch.Generator().manual_seed(1))
BOUNDARIES = torch.tensor([-1.0, 0.0, 0.5])

# Poles, zeros, and each range of the forms of the functions about Euler's.
GAMMA = torch.tensor([[1e-6, 0.3, 1.0, 1.4616, 2.0, 2.7, 7.99, 8.0], [33.3, 1e5, -0.5, -2.4570248, -7.3, 0.75, 5.5, torch.inf]])
SIGNS = torch.tensor([[0.0, -0.0, 1.5, -1.5], [torch.inf, -torch.inf, -0.0, 2.0]])
WEIGHT = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(4))
WORDS = torch.tensor([[1, 2], [2, 0]])
# torch exports other calls for what has gradients.
TRAINED = X.clone().requires_grad_()
# Ops that ExecuTorch has at lowering, and no kernel of at run time, or a wrong one.
_ATEN = torch.ops.aten
WITHOUT_KERNEL = {
    *(_ATEN.adaptive_avg_pool3d.default, _ATEN.nonzero.default, _ATEN.where.default, _ATEN.argwhere.default),
}
ROWS, MATRIX = torch.tensor([0, 2]), torch.randn(3, 2, dtype=torch.complex64, generator=torch.Generator().manual_seed(5))
FREQUENCIES = torch.polar(torch.ones(3), torch.arange(3.0))


def _mask(shift: int) -> torch.Tensor:
    """float[3, 4] as the mask of shifted windows is counted, each part of a row by its number: the last is empty where nothing is shifted."""
    mask = torch.zeros(3, 4)
    for number, part in enumerate((slice(0, -2), slice(-2, -shift), slice(-shift if shift else 4, None))):
        mask[:, part] = number + 1
    return mask


def _written(x: torch.Tensor, write: Callable[[torch.Tensor], Any]) -> torch.Tensor:
    result = x * 2
    write(result)
    return result


def _with_diagonal(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x.diagonal(offset=-1).mul_(10)
    return x


def _numbers(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(x[:, :4].reshape(3, 2, 2))


# The function of a tensor, whose outputs are tensors, and what it is tried with.
CASES: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "cumprod": (lambda x: torch.cumprod(x, 1), X),
    "cumprod of columns": (lambda x: torch.cumprod(x, 0), X),
    "cumprod of integers": (lambda x: torch.cumprod(x, -1), INTEGERS),
    "cumprod to floats": (lambda x: torch.cumprod(x, 1, dtype=torch.float32), INTEGERS),
    "cumprod of many": (lambda x: torch.cumprod(x, 1), torch.rand(2, 192, generator=torch.Generator().manual_seed(2)) * 0.1 + 0.95),
    "logcumsumexp": (lambda x: torch.logcumsumexp(x * 30, -1), X),
    "logcumsumexp of infinities": (
        lambda x: torch.logcumsumexp(x.log(), -1),
        torch.tensor([[0.0, 0.0, 2.0, 0.0], [1.0, 0.0, 0.0, 3.0]]),
    ),
    "cummax": (lambda x: tuple(torch.cummax(x, 1)), X),
    "cummax of equals": (lambda x: tuple(torch.cummax(x, 1)), EQUAL),
    "cummax of NaN": (lambda x: tuple(torch.cummax(x, 1)), NAN),
    "cummax of integers": (lambda x: tuple(torch.cummax(x, 0)), INTEGERS),
    "cummin of integers": (lambda x: tuple(torch.cummin(x, 0)), INTEGERS),
    "cummin": (lambda x: tuple(torch.cummin(x, -1)), EQUAL),
    "bucketize": (lambda x: torch.bucketize(x, BOUNDARIES), X),
    "bucketize on a boundary": (lambda x: torch.bucketize(x, torch.tensor([1.0, 2.0]), right=True, out_int32=True), EQUAL),
    "bucketize of NaN": (lambda x: torch.bucketize(x, BOUNDARIES), NAN),
    "searchsorted in rows": (lambda x: torch.searchsorted(x.sort(-1)[0], x * 1.1, side="right"), X),
    "searchsorted of integers": (lambda x: torch.searchsorted(torch.tensor([-3, 0, 2]), x), INTEGERS),
    "searchsorted by a sorter": (lambda x: torch.searchsorted(BOUNDARIES.flip(0), x, sorter=torch.tensor([2, 1, 0])), X),
    "searchsorted of a number": (lambda x: torch.searchsorted(x.sort(-1)[0][0], 0.25, right=True), X),
    "bucketize of a number": (lambda x: torch.bucketize(0.25, x.sort(-1)[0][1]), X),
    "shifts of all bits": (
        lambda x: [
            shifted(x, bits) for shifted in (torch.bitwise_left_shift, torch.bitwise_right_shift) for bits in (31, 32, 1000, -1)
        ],
        INTEGERS.int(),
    ),
    "kthvalue": (lambda x: tuple(torch.kthvalue(x, 2)), X),
    "kthvalue of columns": (lambda x: tuple(torch.kthvalue(x, 3, 0, True)), X),
    "median": (lambda x: tuple(torch.median(x, 1)), X),
    "median of columns": (lambda x: tuple(torch.median(x, 0, keepdim=True)), X),
    "median of NaN": (lambda x: tuple(torch.median(x, 1)), NAN),
    "median of all": (lambda x: torch.median(x), X),
    "var_mean": (lambda x: torch.var_mean(x, 1), X),
    "var_mean with a correction": (lambda x: torch.var_mean(x, dim=(0, 1), correction=0, keepdim=True), X),
    "std_mean": (lambda x: torch.std_mean(x), X),
    "std_mean, biased": (lambda x: torch.std_mean(x, dim=1, unbiased=False), X),
    "ldexp": (lambda x: torch.ldexp(x, torch.tensor([[1], [-2], [3]])), X),
    "inv": (lambda x: torch.linalg.inv(x @ x.mT + torch.eye(3)), X),
    "inverse that needs its rows exchanged": (lambda x: torch.inverse((x @ x.mT + torch.eye(3)).flip(0)), X),
    "inverses": (lambda x: torch.linalg.inv(torch.stack([x @ x.mT, 2 * x @ x.mT]) + torch.eye(3)), X),
    "det": (lambda x: torch.linalg.det(0.3 * x @ x.mT), X),
    "det of older programs": (lambda x: torch.det((0.2 * x @ x.mT)[:2, 1:]), X),
    "slogdet": (lambda x: tuple(torch.linalg.slogdet(0.3 * torch.stack([x @ x.mT, -x @ x.mT]))), X),
    "slogdet of older programs": (lambda x: tuple(torch.slogdet(0.3 * x @ x.mT)), X),
    "logdet": (lambda x: torch.logdet(torch.stack([x @ x.mT, -x @ x.mT])), X),
    "solve": (lambda x: torch.linalg.solve(x @ x.mT + torch.eye(3), x), X),
    "solve for a vector": (lambda x: torch.linalg.solve(x @ x.mT + torch.eye(3), x.sum(1)), X),
    "dist": (lambda x: torch.dist(x, x * 2 + 1, 3.0), X),
    "exp2": (lambda x: torch.exp2(x * 3), X),
    "exp2 of integers": (torch.exp2, INTEGERS),
    "signbit": (torch.signbit, SIGNS),
    "signbit of integers": (torch.signbit, INTEGERS),
    "copysign": (lambda x: torch.copysign(x, x.flip(1)), SIGNS),
    "copysign of integers": (lambda x: torch.copysign(x, -2.0), INTEGERS),
    "hypot": (lambda x: torch.hypot(x * 1e25, x.flip(0) * 1e25), X),
    "hypot of zeros": (lambda x: torch.hypot(x, torch.zeros_like(x)), SIGNS),
    "fmax": (lambda x: torch.fmax(x, x.flip(1)), NAN),
    "fmin": (lambda x: torch.fmin(x, torch.full_like(x, 0.25)), NAN),
    "round to decimals": (lambda x: torch.round(x * 37, decimals=1), X),
    "round to tens": (lambda x: torch.round(x * 137, decimals=-1), X),
    "remainder of a number": (lambda x: torch.remainder(7, x), torch.tensor([[1.5, -2.0, 3.0, 4.0]])),
    "shift to the left": (lambda x: x << 3, INTEGERS),
    "shift to the right": (lambda x: (x * 1000003) >> 5, INTEGERS),
    "shift by numbers": (lambda x: torch.bitwise_left_shift(x, x.abs()) + torch.bitwise_right_shift(x * 77, x.abs()), INTEGERS),
    "shift in place": (lambda x: (x + 1).bitwise_left_shift_(2), INTEGERS),
    "nanmedian": (lambda x: torch.nanmedian(x, 1)[0], NAN),
    "nanmedian of columns": (lambda x: tuple(torch.nanmedian(x * 0.5, 0, keepdim=True)), X),
    "nanmedian of all": (lambda x: torch.nanmedian(x), NAN),
    "nanmedian of nothing but NaN": (lambda x: torch.nanmedian(x, 1)[0], NAN * torch.nan),
    "gcd": (lambda x: torch.gcd(x * 12, x.flip(1) * 18), INTEGERS),
    "lcm": (lambda x: torch.lcm(x * 6, x.flip(1) * 4), INTEGERS),
    "gcd of neighbours of Fibonacci's": (
        lambda x: torch.gcd(x, x.flip(1)),
        torch.tensor([[1836311903, 1134903170], [0, -2147483647]]),
    ),
    "logaddexp2, of powers of two": (lambda x: torch.logaddexp2(x, x.flip(1)), X),
    "bits of a number and a tensor": (
        lambda x: torch.bitwise_and(True, x > 0) & torch.bitwise_or(False, x > 1) | torch.bitwise_xor(True, x > 1),
        X,
    ),
}
# What is tried at fixed extents alone.
OF_FIXED_EXTENTS: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "functions of errors": (
        lambda x: (torch.erfinv(x), torch.erfc(x * 3)),
        torch.tensor([[1.0, -1.0, 2.0, 0.999, -0.2], [0.0, 0.5, -0.9999999, 1e-9, 0.7]]),
    ),
    "functions about Euler's": (lambda x: (torch.lgamma(x), torch.digamma(x), torch.polygamma(1, x[:, :5].abs())), GAMMA),
    "Bessel's functions": (
        lambda x: (
            torch.i0(x),
            torch.special.i0e(x * 9),
            torch.special.i1(x),
            torch.special.i1e(x * 9),
            torch.mvlgamma(x.abs() + 3, 2),
        ),
        X * 4,
    ),
    "statistics of a batch": (
        lambda x: torch.ops.aten._native_batch_norm_legit_functional(x, x[0], x[1], x[0] * 2, x[1].abs(), True, 0.25, 1e-5),
        X,
    ),
    "addbmm": (lambda x: torch.addbmm(x[:, :3], x.view(2, 3, -1)[:, :, :2], x.view(2, -1, 3)[:, :2], beta=0.5, alpha=2), X),
    "addmv": (lambda x: torch.addmv(x[:, 0], x, x[0], beta=2, alpha=0.5), X),
    "bilinear": (lambda x: F.bilinear(x[:, :3], x[:, :2], WEIGHT, torch.arange(5.0)), X),
    "bilinear of integers": (lambda x: torch.ops.aten._trilinear(x[:, :2], x[:, :2], x[:, :2], [1], [2], [2], [1]), INTEGERS.int()),
    "put": (lambda x: torch.put(x, torch.tensor([1, 7]), torch.tensor([5.0, 6.0])), X),
    "put, added": (lambda x: torch.put(x, torch.tensor([1, 1]), torch.tensor([5.0, 6.0]), accumulate=True), X),
    "a diagonal": (lambda x: torch.diagonal_scatter(x[:, :3], x[:, 0] * 2), X),
    "a diagonal above": (lambda x: torch.diagonal_scatter(x[None, :, :4], x[None, 0, :3], 1, 1, 2), X),
    "a diagonal in place": (lambda x: _with_diagonal(x[:, :4]), X),
    "tril_indices": (lambda x: x[tuple(torch.tril_indices(3, 4, 1))], X),
    "triu_indices": (lambda x: x[tuple(torch.triu_indices(3, 4, -1))], X),
    "repeat_interleave": (lambda x: x.repeat_interleave(torch.tensor([2, 0, 3]), 0, output_size=5), X),
    "scatter, added": (lambda x: x.scatter(1, torch.tensor([[0, 0], [1, 2]]), 2.5, reduce="add"), X),
    "scatter, multiplied": (lambda x: x.scatter(0, torch.tensor([[0, 2], [1, 2]]), x[:2, :2] + 1, reduce="multiply"), X),
    "index_reduce": (lambda x: x.index_reduce(0, torch.tensor([1, 1]), x[:2] * 2, "amax"), X),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x[:, :4], 3), X),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x[None, :, :4], (2, 3), return_indices=True), X),
    "adaptive_max_pool2d of whole windows": (lambda x: F.adaptive_max_pool2d(x[None, :, :4], (1, 2)), X),
    "adaptive_max_pool3d": (lambda x: F.adaptive_max_pool3d(x[:, :4].view(1, 3, 2, 2), (2, 1, 2)), X),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x[:, :4].view(1, 1, 3, 2, 2), (2, 2, 1)), X),
    "embedding_bag": (lambda x: F.embedding_bag(x, WORDS, mode="mean"), X),
    "embedding_bag of some": (lambda x: F.embedding_bag(x, WORDS.flatten(), torch.tensor([0, 1, 1]), mode="sum", padding_idx=2), X),
    "embedding_bag of a trained table": (lambda x: F.embedding_bag(x, WORDS, mode="mean"), TRAINED),
    "embedding_bag of maxima": (lambda x: F.embedding_bag(x, WORDS.flatten(), torch.tensor([0, 1, 1]), mode="max"), X),
    "embedding_bag, weighted": (lambda x: F.embedding_bag(x, WORDS, mode="sum", per_sample_weights=WORDS * 0.5 - 1), X),
    "empty_like": (lambda x: torch.empty_like(x).fill_(2) * x, X),
    "empty_permuted": (lambda x: torch.empty_permuted((3, 4), (1, 0)).copy_(x) * 2, X),
    "new_empty_strided": (lambda x: x.new_empty_strided((3, 4), (1, 3), dtype=torch.int64).fill_(2) + x, X),
    "hinge_embedding_loss": (lambda x: F.hinge_embedding_loss(x, x.sign(), reduction="none"), X),
    "cosine_embedding_loss": (lambda x: F.cosine_embedding_loss(x, x * 2 + 1, x[:, 0].sign(), margin=0.1), X),
    "mode": (lambda x: tuple(torch.mode(x, 1)), EQUAL),
    "mode of columns": (lambda x: torch.mode(x, 0, keepdim=True)[0], INTEGERS),
    "written by strides": (lambda x: torch.as_strided_scatter(x, x[:, :2] * 2, (3, 2), (1, 5), 1), X),
    "cholesky": (lambda x: torch.linalg.cholesky(x @ x.mT + torch.eye(3)), X),
    "cholesky with a check": (lambda x: tuple(torch.linalg.cholesky_ex(torch.stack([x @ x.mT, -x @ x.mT]) + torch.eye(3)))[1], X),
    "cholesky of older programs": (lambda x: torch.cholesky(x @ x.mT + torch.eye(3), upper=True), X),
    "cholesky_solve": (lambda x: torch.cholesky_solve(x, torch.linalg.cholesky(x @ x.mT + torch.eye(3))), X),
    "cholesky_inverse": (lambda x: torch.cholesky_inverse(torch.linalg.cholesky(x @ x.mT + torch.eye(3))), X),
    "histc": (lambda x: torch.histc(x, bins=4, min=-1, max=1), X),
    "bincount of experts": (lambda x: torch.histc(x.float(), bins=11, min=-5, max=5), INTEGERS),
    "sort, stably": (lambda x: tuple(torch.sort(x, stable=True)), EQUAL),
    "sort, stably and descending": (lambda x: tuple(torch.sort(x, dim=0, stable=True, descending=True)), EQUAL),
    "argsort of NaN, stably": (lambda x: torch.argsort(x, stable=True), NAN),
    "argsort of integers, stably": (lambda x: torch.argsort(x, stable=True), INTEGERS),
    "whether all are true": (lambda x: torch.ops.aten._is_all_true(x > -90) & torch.ops.aten._is_any_true(x > 0) & (x > 0), X),
    "vander, of running products": (lambda x: torch.vander(x[0], 3), X),
}
# Not refused: writes of no elements.
OF_NO_ELEMENTS: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "mask of windows that are not shifted": (lambda x: x * _mask(0), X),
    "mask of windows that are shifted": (lambda x: x * _mask(1), X),
    "nothing, copied": (lambda x: _written(x, lambda y: y[:, 4:].copy_(x[:, :0])), X),
    "nothing, filled in one of three rows": (lambda x: _written(x, lambda y: y[1, 2:2].fill_(7)), X),
}
# What leaves something outside: places without elements, and what functionalization reads of a view before it is written.
IN_PART: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "a filled diagonal": (lambda x: (x + 0).fill_diagonal_(7.0), X),
    "triangles without elements": (
        lambda x: x[tuple(torch.triu_indices(3, 4, 4))].sum() + torch.tril_indices(3, 4, -3).shape[1] + x,
        X,
    ),
}
# And the least and the largest result.
DRAWN: dict[str, tuple[Callable[[torch.Tensor], Any], float, float]] = {
    "randn_like": (lambda x: torch.randn_like(x) + 0 * x, -8, 8),
    "rand_like": (lambda x: torch.rand_like(x) + 0 * x, 0, 1),
    "bernoulli": (lambda x: torch.bernoulli(x, 0.5) + 0 * x, 0, 1),
    "exponential": (lambda x: torch.empty_like(x).exponential_(2.0) + 0 * x, 0, 60),
    "uniform": (lambda x: torch.empty_like(x).uniform_(2, 5) + 0 * x, 2, 5),
    "normal": (lambda x: torch.empty_like(x).normal_(3, 0.5) + 0 * x, -1, 7),
    "normal of tensors": (
        lambda x: torch.normal(0 * x + 3, x.abs() * 0 + 0.5) + torch.normal(0 * x, 0.5) + torch.normal(3, 0 * x),
        -2,
        14,
    ),
    "log_normal": (lambda x: torch.empty_like(x).log_normal_(0.0, 0.5) + 0 * x, 0, 60),
    "cauchy": (lambda x: torch.empty_like(x).cauchy_().clamp(-50, 50) + 0 * x, -50, 50),
    "geometric": (lambda x: torch.empty_like(x).geometric_(0.3) + 0 * x, 1, 100),
    "randint": (lambda x: torch.randint(-2, 3, (3, 4)) + (0 * x).int(), -2, 2),
    "randint_like": (lambda x: torch.randint_like(x, 7) + torch.randint_like(x, 2, 7) + torch.randint(7, (3, 4)), 2, 18),
    "gumbel_softmax": (lambda x: F.gumbel_softmax(x, tau=0.5), 0, 1),
    "multinomial": (lambda x: torch.multinomial(x.softmax(1), 2), 0, 3),
    "multinomial with replacement": (lambda x: torch.multinomial(x.softmax(1), 9, replacement=True), 0, 3),
}
# Complex numbers, which ExecuTorch refuses by other words.
COMPLEX: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "rfft": (lambda x: torch.fft.rfft(x, dim=0).abs(), X),
    "rfft and back": (lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=0) * 2, n=3, dim=0), X),
    "fft of two dimensions": (lambda x: torch.view_as_real(torch.fft.fft2(x[:, :4], norm="ortho")), X),
    "ifft": (lambda x: torch.fft.ifft(_numbers(x)).imag, X),
    "stft": (lambda x: torch.stft(x.flatten(), 4, 2, window=torch.hann_window(4), return_complex=True).abs().square(), X),
    "rotary positions": (lambda x: torch.view_as_real(_numbers(x) * FREQUENCIES[:, None]).flatten(1), X),
    "quotients": (lambda x: torch.view_as_real((1 + 2j) / (_numbers(x) * 1e20 - 3j)), X),
    "a reciprocal and a power of e": (lambda x: torch.view_as_real(_numbers(x).reciprocal() + torch.exp(_numbers(x))), X),
    "sums with reals": (lambda x: torch.view_as_real(torch.cat([_numbers(x) + x[:, :2], _numbers(x) - 2, x[:, :1] + 0j], 1)), X),
    "products of matrices": (lambda x: torch.view_as_real(_numbers(x) @ _numbers(x).conj().t()), X),
    "polar and angle": (lambda x: torch.polar(x.abs(), x * 2).angle(), X),
    "complex, real and imag": (lambda x: torch.complex(x, x + 1).real + torch.complex(x, x + 1).imag, X),
    "split and padded": (lambda x: torch.view_as_real(F.pad(torch.cat(torch.split(_numbers(x), 1, 1), 0), (1, 1))), X),
    "where and filled": (lambda x: torch.view_as_real(torch.where(x[:, :2] > 0, _numbers(x), torch.zeros_like(_numbers(x)))), X),
    "mean": (lambda x: torch.view_as_real(_numbers(x).mean(0)), X),
    "stacked with reals": (lambda x: torch.view_as_real(torch.stack([_numbers(x), x[:, :2], _numbers(x) * 1j], 1)), X),
    "differences and powers": (lambda x: torch.view_as_real(1 - _numbers(x)) + torch.view_as_real(_numbers(x) ** 3), X),
    "written": (lambda x: torch.view_as_real(_numbers(x).index_put((ROWS,), x[:2, :2] + 0j)), X),
    "masked": (lambda x: torch.view_as_real(_numbers(x).masked_fill(x[:, :2] > 0, 0)), X),
    "compared": (lambda x: (_numbers(x) == _numbers(x.abs())) | _numbers(x / 0).isnan(), X),
    "a linear layer": (lambda x: torch.view_as_real(F.linear(_numbers(x), MATRIX, MATRIX[:, 0])), X),
    "norm, logarithm and root": (lambda x: _numbers(x).norm() + torch.view_as_real(_numbers(x).log() * _numbers(x).sqrt()), X),
    "seen as reals": (lambda x: (_numbers(x) * 2j).view(torch.float32), X),
}
# Results whose extents the data decide; they stay outside Core ML.
OF_THE_DATA: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "nonzero": (lambda x: torch.nonzero(x > 0) + 1, X),
    "argwhere": (lambda x: torch.argwhere(x.clamp(min=0)), X),
    "where": (lambda x: torch.where(x[0] > 0), X),
    "where of three dimensions": (lambda x: torch.where(x[:, None] > 0.5), X),
    "masked_select": (lambda x: torch.masked_select(x, x > 0) * 2, X),
    "masked_select of a row": (lambda x: torch.masked_select(x, x[:1] > 0), X),
}

SCALAR = torch.tensor(2.5)
PLACE = torch.tensor(0)
# A call of each op that scalars.py takes apart.
OF_A_SCALAR: dict[str, Callable[[torch.Tensor], Any]] = {
    "all": lambda x: (x > 0).all(0),
    "any": lambda x: (x > 0).any(-1),
    "amax": lambda x: x.amax(0),
    "amin": lambda x: x.amin(-1, keepdim=True),
    "max": lambda x: tuple(x.max(0)),
    "min": lambda x: tuple(x.min(-1)),
    "argmax": lambda x: x.argmax(0),
    "argmin": lambda x: x.argmin(-1),
    "argsort": lambda x: x.argsort(),
    "argsort, stable": lambda x: torch.argsort(x, stable=True, dim=0),
    "sort": lambda x: tuple(x.sort(0)),
    "sort, stable": lambda x: tuple(torch.sort(x, stable=True, dim=0)),
    "topk": lambda x: tuple(x.topk(1)),
    "kthvalue": lambda x: tuple(x.kthvalue(1)),
    "median": lambda x: tuple(x.median(0)),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1),
    "cumsum": lambda x: x.cumsum(0),
    "cumsum of an integer": lambda x: x.int().cumsum(0),
    "cumprod": lambda x: x.cumprod(0),
    "logcumsumexp": lambda x: x.logcumsumexp(0),
    "cummax": lambda x: tuple(x.cummax(0)),
    "cummin": lambda x: tuple(x.cummin(0)),
    "softmax": lambda x: x.softmax(0),
    "softmax, taken apart": lambda x: torch.ops.aten._softmax.default(x, 0, False) + x,
    "log_softmax, taken apart": lambda x: torch.ops.aten._log_softmax.default(x, 0, False) - x,
    "log_softmax": lambda x: x.log_softmax(-1) + x,
    "logsumexp": lambda x: x.logsumexp(0),
    "mean": lambda x: x.mean(0),
    "mean of all": lambda x: x.mean(),
    "sum": lambda x: x.sum(0),
    "prod": lambda x: x.prod(0),
    "var": lambda x: x.var(0, correction=0),
    "var_mean": lambda x: torch.var_mean(x, 0, correction=0),
    "std": lambda x: x.std(0, correction=0),
    "std_mean": lambda x: torch.std_mean(x, 0, correction=0),
    "norm": lambda x: torch.ops.aten.norm.ScalarOpt_dim(x, 2, [0]),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=0),
    "index_select": lambda x: x.index_select(0, PLACE),
    "gather": lambda x: x.gather(0, PLACE),
    "index_fill": lambda x: x.index_fill(0, PLACE, 3.0),
    "index_fill by a tensor": lambda x: x.index_fill(0, PLACE, x * 2),
    "scatter": lambda x: x.scatter(0, PLACE, x * 2),
    "scatter of a number": lambda x: x.scatter(0, PLACE, 4.0) + x,
    "scatter_add": lambda x: x.scatter_add(0, PLACE, x * 2),
    "scatter_reduce": lambda x: x.scatter_reduce(0, PLACE, x * 2, "amax"),
    "squeeze": lambda x: x.squeeze(0) * 2,
    "transpose": lambda x: x.transpose(0, -1) * 2,
}

FLEXIBLE = ({1: Dim("n", min=1, max=256)},)


def _longer(x: torch.Tensor) -> torch.Tensor:
    """Seven columns; the further reals are equal to none before, since torch says nothing of the order of equals."""
    further = x * 0.83 + 0.31 if x.is_floating_point() else x
    return torch.cat([x, further], 1)[:, :7].contiguous()


def _check(function: Callable[[torch.Tensor], Any], x: torch.Tensor, *, flexible: bool = False) -> None:
    precision = {"compute_precision": ct.precision.FLOAT32, "minimum_deployment_target": ct.target.iOS17}
    edge = lower(function, (x,), dynamic=FLEXIBLE if flexible else None, **precision)
    assert outside(edge) == []
    for given in [x, _longer(x)] if flexible else [x]:
        expected = torch.utils._pytree.tree_leaves(function(given))
        for actual, wanted in zip(execute(edge, (given,)), expected, strict=True):
            # Core ML has no numbers of rank 0; 8 rounding errors of float32, or one of each factor of a product.
            actual = actual.reshape(wanted.shape).to(wanted.dtype)
            bound = max([8, *given.shape[-1:]]) * 2**-23
            torch.testing.assert_close(actual, wanted, rtol=bound, atol=bound, equal_nan=True)


@pytest.mark.parametrize("flexible", [False, True], ids=["fixed", "flexible"])
@pytest.mark.parametrize("case", CASES)
def test_refused_ops(case: str, flexible: bool) -> None:
    _check(*CASES[case], flexible=flexible)


@pytest.mark.parametrize("case", OF_FIXED_EXTENTS)
def test_refused_ops_of_fixed_extents(case: str) -> None:
    _check(*OF_FIXED_EXTENTS[case])


@pytest.mark.parametrize("case", OF_NO_ELEMENTS)
def test_writes_of_no_elements_go_to_core_ml_with_the_rest(case: str) -> None:
    _check(*OF_NO_ELEMENTS[case])


@pytest.mark.parametrize("case", IN_PART)
def test_refused_ops_that_go_to_core_ml_in_part(case: str) -> None:
    function, x = IN_PART[case]
    (actual,) = execute(lower(function, (x,), compute_precision=ct.precision.FLOAT32), (x,))
    torch.testing.assert_close(actual, function(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", COMPLEX)
def test_complex_numbers(case: str) -> None:
    function, x = COMPLEX[case]
    with pytest.raises(Exception, match=r"not in Core ATen opset|mismatched dtypes"):
        to_edge(export(function, (x,)))
    _check(function, x)


def test_along_a_dimension_of_a_scalar() -> None:
    """All in one program, in their order."""
    _check(lambda x: tuple(function(x * 1.5) for function in OF_A_SCALAR.values()), SCALAR)


def test_every_op_along_a_dimension_of_a_scalar_is_tried() -> None:
    tried = set()
    for function in OF_A_SCALAR.values():
        found = {scalars.op_along_a_dimension(node) for node in export(function, (SCALAR,)).graph.nodes} - {None}
        assert found, function
        tried |= found
    # Forms that torch.export makes others of.
    assert {op._schema.name for op in scalars._ALONG_A_DIMENSION} == {op._schema.name for op in tried}


@pytest.mark.parametrize("flexible", [False, True], ids=["fixed", "flexible"])
@pytest.mark.parametrize("case", OF_THE_DATA)
def test_results_whose_extents_the_data_decide(case: str, flexible: bool) -> None:
    function, x = OF_THE_DATA[case]
    edge = lower(function, (x,), dynamic=FLEXIBLE if flexible else None, compute_precision=ct.precision.FLOAT32)
    program = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    forward = program.load_method("forward")
    for given in (x, torch.zeros_like(x), *([_longer(x)] if flexible else [])):
        expected = torch.utils._pytree.tree_leaves(function(given))
        for actual, wanted in zip(forward.execute([given]), expected, strict=True):
            assert torch.equal(actual, wanted)


def test_the_kernel_of_nonzero_is_wrong() -> None:
    (actual,) = execute(to_edge(export(torch.nonzero, (torch.ones(2, 3),))), (torch.ones(2, 3),))
    assert not torch.equal(actual, torch.ones(2, 3).nonzero())


def test_each_row_is_needed() -> None:
    """ExecuTorch alone refuses a call of every op of the table; a row whose op it takes has to go."""
    tried = set()
    drawn = ((function, X) for function, *_ in DRAWN.values())
    for function, x in (*CASES.values(), *OF_FIXED_EXTENTS.values(), *OF_THE_DATA.values(), *drawn):
        program = export(function, (x,))
        needed = refused_ops._needed(program)
        assert needed, function
        new = needed.keys() - tried
        tried |= needed.keys()
        if new - refused_ops._TABLE.keys() or x.requires_grad:  # An op that consists of such.
            tried |= refused_ops._needed(program.run_decompositions(needed)).keys()
        if new - WITHOUT_KERNEL:
            with pytest.raises(Exception, match="not in Core ATen opset"):
                to_edge(program)
    # Other overloads of what is tried.
    assert {op._schema.name for op in refused_ops._TABLE} <= {op._schema.name for op in tried}


# Of torch's own samples.
SAMPLED = frozenset(
    [
        "cumprod",
        "logcumsumexp",
        "cummax",
        "cummin",
        "bucketize",
        "searchsorted",
        "kthvalue",
        "median",
        "var_mean",
        "std_mean",
        "ldexp",
        "dist",
        "exp2",
        "signbit",
        "copysign",
        "hypot",
        "fmax",
        "fmin",
        "round",
        "remainder",
        "bitwise_left_shift",
        "bitwise_right_shift",
        "addbmm",
        "addmv",
        "nn.functional.bilinear",
        "put",
        "diagonal_scatter",
        "tril_indices",
        "triu_indices",
        "repeat_interleave",
        "scatter",
        "index_reduce",
        "nn.functional.adaptive_max_pool1d",
        "nn.functional.adaptive_max_pool2d",
        "nn.functional.adaptive_max_pool3d",
        "nn.functional.adaptive_avg_pool3d",
        "nn.functional.embedding_bag",
        "multinomial",
        "randn_like",
        "histc",
        "sort",
        "argsort",
        "nonzero",
        "masked_select",
        "nanmedian",
        "mode",
        "gcd",
        "lcm",
        "erfinv",
        "erfc",
        "lgamma",
        "digamma",
        "polygamma",
        "i0",
        "special.i0e",
        "special.i1",
        "special.i1e",
        "as_strided_scatter",
        "cholesky",
        "cholesky_solve",
        "cholesky_inverse",
    ]
)


class _Compared(TorchDispatchMode):
    """Calls of ops of the table beside what the table makes of them."""

    # Drawn, or of elements that are equal, among which torch may take any.
    _ANY = ("exponential", "multinomial", "rand_like", "randn_like", "randint_like")

    def __init__(self) -> None:
        super().__init__()
        self.tried: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in refused_ops._TABLE:
            return result
        made = refused_ops._TABLE[func](*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        if made is NotImplemented:
            return result
        self.tried.add(name)
        wanted, actual = (result, made) if isinstance(result, torch.Tensor) else (result[0], made[0])
        assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape), (func, args, kwargs)
        if name not in self._ANY:
            torch.testing.assert_close(
                actual, wanted, rtol=1e-4, atol=1e-5, equal_nan=True, msg=lambda text: f"{func} {args} {text}"
            )
        return result


def test_functions_are_torchs_over_its_own_samples() -> None:
    """Values, dtypes and shapes, for each dtype of torch's samples of the ops; of float16 the dtypes would differ only by rounding."""
    compared = _Compared()
    for info in op_db:
        if info.name not in SAMPLED:
            continue
        for dtype in (torch.float32, torch.int32, torch.uint8, torch.bool):
            if info.supports_dtype(dtype, "cpu"):
                for sample in info.sample_inputs("cpu", dtype):
                    # Embedding bags without elements, and what a sample asks for that is no call.
                    with torch.no_grad(), compared:
                        info(sample.input, *sample.args, **sample.kwargs)
    assert len(compared.tried) >= 30, compared.tried


# Result, and what it may be off by, in float32's epsilons relative to it or, where it is smaller than 1, to 1.
PRECISE: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor], torch.Tensor, float]] = {
    "erfinv": (refused_functions.erfinv, torch.erfinv, 1 - torch.logspace(-7.2, 0.3, 20000), 3),
    "erfc": (refused_functions.erfc, torch.erfc, torch.linspace(-6, 12, 20000), 2),
    "lgamma": (refused_functions.lgamma, torch.lgamma, torch.logspace(-30, 30, 20000), 2),
    "lgamma of small numbers": (refused_functions.lgamma, torch.lgamma, torch.linspace(0.01, 12, 20000), 2),
    "lgamma of negative numbers": (refused_functions.lgamma, torch.lgamma, torch.linspace(-40, -1e-3, 20000), 6),
    "digamma": (refused_functions.digamma, torch.digamma, torch.linspace(1e-3, 40, 20000), 6),
    "digamma of negative numbers": (refused_functions.digamma, torch.digamma, torch.linspace(-40.001, -1e-3, 20000), 9),
    "trigamma": (
        lambda x: refused_functions.polygamma(1, x),
        lambda x: torch.polygamma(1, x),
        torch.linspace(1e-3, 40, 20000),
        5,
    ),
    "i0": (refused_functions.i0, torch.special.i0, torch.linspace(-80, 80, 20000), 9),
    "i0e": (refused_functions.i0e, torch.special.i0e, torch.linspace(-80, 80, 20000), 4),
    "i1": (refused_functions.i1, torch.special.i1, torch.linspace(-80, 80, 20000), 9),
    "i1e": (refused_functions.i1e, torch.special.i1e, torch.linspace(-80, 80, 20000), 4),
}


@pytest.mark.parametrize("case", PRECISE)
def test_functions_are_as_exact_as_they_say(case: str) -> None:
    function, of_torch, x, bound = PRECISE[case]
    actual, wanted = function(x).double(), of_torch(x.double())
    is_finite = wanted.abs() < torch.finfo(torch.float32).max
    error = ((actual - wanted).abs() / wanted.abs().clamp(min=1))[is_finite].max() / 2**-23
    assert error <= bound
    assert function(x.double()) is NotImplemented


def test_statistics_of_training() -> None:
    """A model that was left in training mode: normalized by its batch, and its running statistics are written."""
    for layer in (torch.nn.BatchNorm2d(3), torch.nn.InstanceNorm2d(3, affine=True, track_running_stats=True)):
        x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(6)) * 3 + 1
        program = torch.export.export(copy.deepcopy(layer).train(), (x,))
        edge = lower(program, compute_precision=ct.precision.FLOAT32)
        method = Runtime.get().load_program(edge.to_executorch().buffer).load_method("forward")
        assert method is not None
        (actual,) = method.execute((x,))[-1:]
        torch.testing.assert_close(actual, layer.train()(x), rtol=1e-5, atol=1e-5)


REFUSED: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "unique": (
        lambda x: torch.unique(x),
        r"run aten\._unique2\.default \(at .*return self\.function\(x\)\): .*its result has depends on the data",
    ),
    "unique_consecutive": (lambda x: torch.unique_consecutive(x), "depends on the data"),
    "nextafter": (lambda x: torch.nextafter(x, x + 1), r"it is no Core ATen op.*Write the call with other ops"),
    "lgamma of float64": (lambda x: torch.lgamma(x.double()), "no Core ATen op"),
    "svd": (lambda x: torch.linalg.svd(x)[1], "no Core ATen op"),
    "polar": (lambda x: torch.polar(x.abs(), x), "complex numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_form_is_refused_with_a_sentence(case: str) -> None:
    function, sentence = REFUSED[case]
    with pytest.raises(NotImplementedError, match=f"(?s)Neither Core ML nor ExecuTorch can run .*{sentence}"):
        lower(function, (X,))


def test_who_asks_for_no_check_or_brings_a_kernel_is_not_refused() -> None:
    program = export(lambda x: torch.nextafter(x, x + 1), (X,))
    for config in (
        EdgeCompileConfig(_check_ir_validity=False),
        EdgeCompileConfig(_core_aten_ops_exception_list=[torch.ops.aten.nextafter.default]),
    ):
        edge = to_edge_transform_and_lower(program, partitioner=[CoreMLPartitioner()], compile_config=config)
        assert outside(edge) == ["aten.nextafter.default"]


@pytest.mark.parametrize("case", DRAWN)
def test_drawn_numbers(case: str) -> None:
    """Not those that torch draws, but as many, and of the same range."""
    function, low, high = DRAWN[case]
    (actual,) = execute(lower(function, (X,), compute_precision=ct.precision.FLOAT32), (X,))
    wanted = function(X)
    assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
    assert low <= actual.min() <= actual.max() <= high
    assert actual.unique().numel() > 1


def test_a_program_without_them_is_left_alone() -> None:
    program = export(lambda x: x.cumsum(1), (X,))
    assert CoreMLPartitioner().transform_for_pre_decomposition(program) is program


def test_a_long_running_product_takes_few_steps() -> None:
    """As of the samples along a ray: no element is compared with each other one."""
    x = torch.rand(4096, 192, generator=torch.Generator().manual_seed(3)) * 0.1 + 0.9
    edge = lower(lambda x: torch.cumprod(x, 1), (x,), compute_precision=ct.precision.FLOAT32)
    largest = max(
        node.meta["val"].numel()
        for node in export(lambda x: torch.cumprod(x, 1), (x,)).run_decompositions(dict(refused_ops._TABLE)).graph.nodes
        if isinstance(node.meta.get("val"), torch.Tensor)
    )
    assert largest == x.numel()
    (actual,) = execute(edge, (x,))
    torch.testing.assert_close(actual, x.cumprod(1), rtol=192 * 2**-23, atol=0)


def test_in_a_branch() -> None:
    edge = lower(
        lambda x: torch.cond(x.sum() > 0, lambda x: torch.cumprod(x, 1), lambda x: torch.cummax(x, 1)[0], (x,)), (X,),
        compute_precision=ct.precision.FLOAT32,
    )  # fmt: skip
    for given, expected in ((X.abs(), X.abs().cumprod(1)), (-X.abs(), (-X.abs()).cummax(1)[0])):
        (actual,) = execute(edge, (given,))
        torch.testing.assert_close(actual, expected, rtol=8 * 2**-23, atol=8 * 2**-23)
