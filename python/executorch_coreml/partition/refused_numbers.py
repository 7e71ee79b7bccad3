"""Functions of numbers, element by element, that ExecuTorch refuses (refused_ops.py), of ops that it has; and numbers that are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch


def ldexp(x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    return x * torch.pow(2.0, exponent)


def exp2(x: torch.Tensor) -> torch.Tensor:
    return torch.pow(2.0, x)


def signbit(x: torch.Tensor) -> torch.Tensor:
    """Of a zero by its inverse; that of a NaN is not known."""
    return (x < 0) | ((x == 0) & (1 / x < 0)) if x.is_floating_point() else x.to(torch.int64) < 0


def copysign(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    dtype = torch.result_type(x, y)
    magnitude = x.to(dtype if dtype.is_floating_point else torch.get_default_dtype()).abs()
    return torch.where(signbit(y), -magnitude, magnitude)


def copysign_number(x: torch.Tensor, number: float) -> torch.Tensor:
    magnitude = (x if x.is_floating_point() else x.to(torch.get_default_dtype())).abs()
    return -magnitude if math.copysign(1.0, number) < 0 else magnitude


def hypot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """By way of the larger one, whose square may be infinite."""
    x, y = x.abs(), y.abs()
    larger, smaller = torch.maximum(x, y), torch.minimum(x, y)
    ratio = torch.where((larger == 0) | larger.isinf(), torch.zeros_like(larger), smaller / larger)
    return larger * (ratio * ratio + 1).sqrt()


def fmax(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where(x.isnan(), y, torch.where(y.isnan(), x, torch.maximum(x, y)))


def fmin(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where(x.isnan(), y, torch.where(y.isnan(), x, torch.minimum(x, y)))


def round_decimals(x: torch.Tensor, *, decimals: int = 0) -> torch.Tensor:
    if not x.is_floating_point():
        return x.clone()
    power = 10.0 ** abs(decimals)
    return (x * power).round() / power if decimals >= 0 else (x / power).round() * power


def remainder_of_number(number: float, x: torch.Tensor) -> torch.Tensor:
    return torch.remainder(torch.scalar_tensor(number, dtype=torch.result_type(x, number)), x)


_SHIFTED = (torch.int32, torch.int64)


def shifted_left(x: torch.Tensor, bits: torch.Tensor | int) -> torch.Tensor:
    if x.dtype not in _SHIFTED:
        return NotImplemented
    if not isinstance(bits, int):
        return x * torch.pow(2, bits)
    last = torch.iinfo(x.dtype).bits - 1
    if not 0 <= bits <= last:
        return torch.zeros_like(x)
    return x * (2**bits if bits < last else -(2**last))


def shifted_right(x: torch.Tensor, bits: torch.Tensor | int) -> torch.Tensor:
    if x.dtype not in _SHIFTED:
        return NotImplemented
    if not isinstance(bits, int):
        return torch.div(x, torch.pow(2, bits), rounding_mode="floor")
    if not 0 <= bits < torch.iinfo(x.dtype).bits - 1:  # Nothing but the sign is left.
        return torch.where(x < 0, -1, 0).to(x.dtype)
    return torch.div(x, 2**bits, rounding_mode="floor")


# Steps after which Euclid's algorithm by remainders of the least magnitude, each at most half of what came before, has ended.
_EUCLID = {torch.int32: 26, torch.int64: 51}


def gcd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    dtype = torch.result_type(x, y)
    # Narrower integers have no such arithmetic in Core ML.
    wide = dtype if dtype in _EUCLID else torch.int32
    a, b = x.to(wide).abs(), y.to(wide).abs()
    a, b = a + torch.zeros_like(b), b + torch.zeros_like(a)
    for _ in range(_EUCLID[wide]):
        divisor = b.clamp(min=1)
        remainder = torch.remainder(a, divisor)
        a, b = torch.where(b > 0, b, a), torch.minimum(remainder, divisor - remainder)
    return a.to(dtype)


def lcm(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    dtype = torch.result_type(x, y)
    wide = dtype if dtype in _EUCLID else torch.int32
    x, y = x.to(wide), y.to(wide)
    return (torch.div(x, gcd(x, y).clamp(min=1), rounding_mode="floor") * y).abs().to(dtype)


def exponential(x: torch.Tensor, lambd: float = 1.0, *, generator: None = None) -> torch.Tensor:
    return torch.log1p(-torch.rand(x.shape, dtype=x.dtype)) / -lambd


def integers(low: int, high: int, size: list[int], *, dtype: torch.dtype | None = None, **options: Any) -> torch.Tensor:
    drawn = torch.floor(torch.rand(size) * (high - low)).clamp(max=high - low - 1) + low
    return drawn.to(dtype or torch.int64)


def uniform(x: torch.Tensor, low: float = 0.0, high: float = 1.0, *, generator: None = None) -> torch.Tensor:
    return torch.rand(x.shape, dtype=x.dtype) * (high - low) + low


def normal(
    x: torch.Tensor, mean: torch.Tensor | float = 0.0, std: torch.Tensor | float = 1.0, *, generator: None = None
) -> torch.Tensor:
    return torch.randn(x.shape, dtype=x.dtype) * std + mean


def log_normal(x: torch.Tensor, mean: float = 1.0, std: float = 2.0, *, generator: None = None) -> torch.Tensor:
    return torch.exp(normal(x, mean, std))


def cauchy(x: torch.Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: None = None) -> torch.Tensor:
    return torch.tan((torch.rand(x.shape, dtype=x.dtype) - 0.5) * math.pi) * sigma + median


def geometric(x: torch.Tensor, p: float, *, generator: None = None) -> torch.Tensor:
    """How many trials the first success takes."""
    drawn = torch.rand(x.shape, dtype=x.dtype if x.is_floating_point() else torch.get_default_dtype())
    return torch.ceil(torch.log1p(-drawn) / math.log1p(-p)).clamp(min=1).to(x.dtype)


def random_like(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda x, *, dtype=None, **options: make(x.shape, dtype=dtype or x.dtype)


def multinomial(x: torch.Tensor, num_samples: int, replacement: bool = False, *, generator: None = None) -> torch.Tensor:
    """Weights over exponential numbers: the largest are drawn as often as the weights say."""
    if not replacement:
        return (x / exponential(x)).topk(num_samples, -1)[1]
    rows = x.unsqueeze(-2).expand(*x.shape[:-1], num_samples, x.shape[-1])
    return (rows / exponential(rows)).argmax(-1)
