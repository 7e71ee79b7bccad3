"""Special functions that ExecuTorch refuses (refused_ops.py), of ops that it has, as exact as float32 is.

What is said of errors was measured against torch in float64, in units of float32's epsilon, relative to the result or, where the result is
smaller than 1, to 1. Of float64 there is no such form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch


def _polynomial(coefficients: Sequence[float], x: torch.Tensor) -> torch.Tensor:
    """Of the coefficients, that of the highest power first."""
    result = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def _of_floats(function: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    """A function of x, of which integers are numbers of the default dtype."""

    def of(x: torch.Tensor, *rest: Any) -> Any:
        x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        return NotImplemented if x.dtype == torch.float64 else function(x, *rest)

    return of


# M. Giles, "Approximating the erfinv function", GPU Computing Gems (2011), table 5: single precision.
_CENTRAL = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)


@_of_floats
def erfinv(x: torch.Tensor) -> torch.Tensor:
    """Within 3 epsilons."""
    inside = x.clamp(-1, 1)
    w = -torch.log((1 - inside) * (1 + inside))
    central = _polynomial(_CENTRAL, w.clamp(max=5) - 2.5)
    tail = _polynomial(_TAIL, torch.sqrt(w.clamp(min=5, max=100)) - 3)
    result = torch.where(w < 5, central, tail) * inside
    result = torch.where(x.abs() == 1, x * torch.inf, result)
    return torch.where(x.abs() > 1, torch.nan, result)


# W. H. Press and others, Numerical Recipes in C (1992), 6.2: erfc as an exponential of a polynomial of 1 / (1 + |x| / 2), Chebyshev's fit.
_ERFC = (
    *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
    *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
)


@_of_floats
def erfc(x: torch.Tensor) -> torch.Tensor:
    """Within 2 epsilons; and, relative to results that are far smaller than 1, within 3 (1 + x squared)."""
    p = x.abs()
    t = 1 / (1 + 0.5 * p)
    tail = t * torch.exp(_polynomial(_ERFC, t) - p * p)
    # Where the polynomial is large beside what is left, the other function is the exact one.
    return torch.where(p < 0.5, 1 - torch.erf(x), torch.where(x < 0, 2 - tail, tail))


# ln Gamma(2 + z) / z: Abramowitz and Stegun, 6.1.33, whose coefficients are (zeta(n) - 1) / n with alternating signs, and 1 - Euler's constant.
_ZETA_LESS_ONE = (
    *(0.6449340668482264, 0.2020569031595943, 0.0823232337111382, 0.0369277551433699, 0.0173430619844491, 0.0083492773819228),
    *(0.0040773561979443, 0.0020083928260822, 0.0009945751278181, 0.0004941886041195, 0.0002460865533080),
)
_LGAMMA = (
    *((-1) ** n * value / n for n, value in reversed(list(enumerate(_ZETA_LESS_ONE, 2)))),
    1 - 0.5772156649015329,
)
# From here on Stirling's series, 6.1.41; below, the argument is brought to the series' by 6.1.15.
_STIRLING = 8


@_of_floats
def lgamma(x: torch.Tensor) -> torch.Tensor:
    """Within 2 epsilons for positive numbers, and 6 for negative ones, of which it is the logarithm of the absolute value (6.1.17)."""
    p = x.abs()
    below = torch.floor(p.clamp(max=_STIRLING) - 1.5)
    product = torch.ones_like(p)
    for number in range(1, _STIRLING - 1):
        product = product * torch.where(below >= number, p - number, 1)
    z = torch.where(p < 0.5, p, torch.where(p < 1.5, p - 1, p - below.clamp(min=0) - 2)).clamp(-0.5, 0.5)
    factors = torch.where(p < 0.5, -torch.log(p) - torch.log1p(p), torch.where(p < 1.5, -torch.log(p), torch.log(product)))
    near = _polynomial(_LGAMMA, z) * z + factors
    large = p.clamp(min=_STIRLING, max=torch.finfo(p.dtype).max)
    q = 1 / large
    series = q * (1 / 12 - q * q * (1 / 360 - q * q * (1 / 1260)))
    far = (large - 0.5) * (torch.log(large) - 1) + (0.5 * math.log(2 * math.pi) - 0.5) + series
    value = torch.where(p.isinf(), torch.inf, torch.where(p < _STIRLING, near, far))
    from_integer = (p - torch.round(p)).abs()
    reflected = math.log(math.pi) - torch.log(p * torch.sin(math.pi * from_integer)) - value
    reflected = torch.where((from_integer == 0) | p.isinf(), torch.inf, reflected)
    return torch.where(x < 0, reflected, value)


# How often digamma and trigamma go up by 1, to where their asymptotic series are exact.
_STEPS = 6


@_of_floats
def digamma(x: torch.Tensor) -> torch.Tensor:
    """Within 9 epsilons: 6.3.18 and 6.3.5, reflected by 6.3.7 for negative numbers."""
    p = x.abs()
    is_small = p < _STEPS
    steps = torch.zeros_like(p)
    for number in range(_STEPS):
        steps = steps + torch.where(is_small, 1 / (p + number), 0)
    z = torch.where(is_small, p + _STEPS, p)
    q = 1 / (z * z)
    value = torch.log(z) - 0.5 / z - q * (1 / 12 - q * (1 / 120 - q * (1 / 252))) - steps
    from_integer = p - torch.round(p)
    tangent = torch.sin(math.pi * from_integer) / torch.cos(math.pi * from_integer)
    reflected = torch.where(from_integer == 0, torch.nan, value + 1 / p + math.pi / tangent)
    return torch.where(x == 0, -1 / x, torch.where(x < 0, reflected, value))


@_of_floats
def _trigamma(x: torch.Tensor) -> torch.Tensor:
    """Within 5 epsilons for positive numbers, and 20 for negative ones: 6.4.12 and 6.4.6, reflected by 6.4.7 below one half; infinite where torch has 1e15, at negative integers."""
    is_reflected = x < 0.5
    p = torch.where(is_reflected, 1 - x, x)
    steps = torch.zeros_like(p)
    for number in range(_STEPS):
        steps = steps + 1 / ((p + number) * (p + number))
    z = p + _STEPS
    q = 1 / (z * z)
    value = steps + 1 / z + q / 2 + q / z * (1 / 6 - q * (1 / 30 - q * (1 / 42)))
    sine = torch.sin(math.pi * (x - torch.round(x)))
    return torch.where(is_reflected, math.pi**2 / (sine * sine) - value, value)


def polygamma(n: int, x: torch.Tensor) -> Any:
    if n not in (0, 1):
        return NotImplemented
    return digamma(x) if n == 0 else _trigamma(x)


def _bessel(near: Sequence[float], far: Sequence[float], *, is_odd: bool, is_scaled: bool) -> Callable[..., Any]:
    """A modified Bessel function of the first kind, over e to the |x| where it is scaled.

    near: of (x / 3.75) squared. far: of 3.75 / x, over the root of x and times e to the x.
    """

    @_of_floats
    def function(x: torch.Tensor) -> torch.Tensor:
        p = x.abs()
        small, large = p.clamp(max=3.75), p.clamp(min=3.75)
        t = small / 3.75
        inside = _polynomial(near, t * t)
        inside = inside * small if is_odd else inside
        outside = _polynomial(far, 3.75 / large) / torch.sqrt(large)
        if is_scaled:
            inside = inside * torch.exp(-small)
        else:  # Of the whole x it is infinite before the function is.
            half = torch.exp(p / 2)
            outside = half * outside * half
        value = torch.where(p <= 3.75, inside, outside)
        return torch.where(x < 0, -value, value) if is_odd else value

    return function


# Abramowitz and Stegun, 9.8.1 to 9.8.4. Within 4 epsilons.
_I0 = (
    (0.0045813, 0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1.0),
    (0.00392377, -0.01647633, 0.02635537, -0.02057706, 0.00916281, -0.00157565, 0.00225319, 0.01328592, 0.39894228),
)
_I1 = (
    (0.00032411, 0.00301532, 0.02658733, 0.15084934, 0.51498869, 0.87890594, 0.5),
    (-0.00420059, 0.01787654, -0.02895312, 0.02282967, -0.01031555, 0.00163801, -0.00362018, -0.03988024, 0.39894228),
)
i0 = _bessel(*_I0, is_odd=False, is_scaled=False)
i0e = _bessel(*_I0, is_odd=False, is_scaled=True)
i1 = _bessel(*_I1, is_odd=True, is_scaled=False)
i1e = _bessel(*_I1, is_odd=True, is_scaled=True)
