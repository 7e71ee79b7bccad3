"""Is what the engine computed for a node what PyTorch computes from the engine's own inputs, but for rounding?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

# How many times the rounding that was simulated a value may be off: in its l2 norm, and in its worst element.
_FACTOR_L2 = 4.0
_FACTOR_MAX = 12.0
# The least that is held against anything, relative: float16 -> 2 units in the last place, float32 -> approximated functions differ that much.
_LEAST = {"float16": 2.0**-9, "float32": 2e-5}
_LEAST_MAX_FACTOR = 16.0


@dataclasses.dataclass(frozen=True)
class Judgement:
    """error, allowed: l2-relative. lost: elements that the engine's dtype cannot hold, and how: "overflow" to infinity, "vanish" to zero."""

    error: float
    allowed: float
    is_wrong: bool
    lost: np.ndarray | None = None
    loss: str = ""


def judge(actual: np.ndarray, predicted: np.ndarray, rounded: np.ndarray, *, precision: str) -> Judgement:
    """Compares an engine's value with what it should be and with that value computed with rounding.

    Elements beyond the range of the engine's dtype are left out where the engine has the same sign's infinity or largest number: PyTorch's
    float32 has a range that float16 has not, and masks are made of such numbers.

    Args:
        actual: the engine's, of any float dtype.
        predicted: the same shape, from the engine's inputs, exact.
        rounded: the same from rounded inputs.
        precision: "float16" or "float32": how the package computes.
    """
    limit = float(np.finfo(actual.dtype).max)
    a, p, r = (array.astype(np.float64).reshape(-1) for array in (actual, predicted, rounded))
    beyond = (np.abs(p) >= limit) & (np.abs(a) >= limit / 2) & (np.sign(a) == np.sign(p))
    # What vanished into NaN in PyTorch as well tells nothing.
    both_nan = np.isnan(a) & np.isnan(p)
    lost, loss = beyond & np.isinf(a) & np.isfinite(p), "overflow"
    if not lost.any():
        vanished = (a == 0) & (p != 0)
        if 2 * np.count_nonzero(vanished) > np.count_nonzero(p):
            lost, loss = vanished, "vanish"
    used = ~(beyond | both_nan)
    a, p, r = a[used], p[used], r[used]
    if np.any(~np.isfinite(a) | ~np.isfinite(p)):
        return Judgement(math.inf, _LEAST[precision], True)
    size = math.sqrt(float(p @ p))
    error = a - p
    r = np.where(np.isfinite(r), r, p)
    noise = r - p
    l2, noise_l2 = math.sqrt(float(error @ error)), math.sqrt(float(noise @ noise))
    rms = size / math.sqrt(max(p.size, 1))
    worst, noise_worst = float(np.abs(error).max(initial=0)), float(np.abs(noise).max(initial=0))
    least = _LEAST[precision]
    # Below the smallest number there is no relative precision.
    step = 4 * float(np.finfo(actual.dtype).smallest_subnormal)
    allowed = max(least * size, _FACTOR_L2 * noise_l2, step * math.sqrt(p.size))
    allowed_worst = max(least * _LEAST_MAX_FACTOR * rms, least * float(np.abs(p).max(initial=0)), _FACTOR_MAX * noise_worst, step)
    scale = size or 1.0
    is_wrong = l2 > allowed or worst > allowed_worst
    if not lost.any():
        return Judgement(l2 / scale, allowed / scale, is_wrong)
    return Judgement(l2 / scale, allowed / scale, is_wrong, lost.reshape(actual.shape), loss)
