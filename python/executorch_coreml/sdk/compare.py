"""How far two arrays are apart, in the measures that people ask for.

Everything is computed in float64. e = actual - expected, over the elements that are finite in both; where one is NaN or infinite and the other
is not the same, the element counts in `misplaced` and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One array against what it should be. Ratios are infinite where their divisor is zero and their dividend is not."""

    shape: tuple[int, ...]
    dtype: str
    # max |e|.
    max_abs: float
    # max |e| / |expected|, where expected is not zero.
    max_rel: float
    # ||e||_2 / ||expected||_2; 0 for equal arrays.
    l2_relative: float
    # 10 log10(sum expected^2 / sum e^2); infinite for equal arrays.
    snr_db: float
    # 10 log10((max |expected|)^2 / mean e^2); infinite for equal arrays.
    psnr_db: float
    # expected . actual / (||expected|| ||actual||); 1 where both are zero, 0 where one is.
    cosine: float
    # Share of the rows along the last axis whose arg-max is the same (top-1); None for what has no rows of two or more.
    top1: float | None
    # Share of equal elements; of integers and bools the measure that counts.
    equal: float
    # Elements that are NaN or infinite in one array and not the same in the other.
    misplaced: int

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is infinite or NaN is None, which is what JSON has for it."""
        values = dataclasses.asdict(self)
        values["shape"] = list(self.shape)
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}


def compare(actual: np.ndarray, expected: np.ndarray) -> Comparison:
    """Compares two arrays of one shape. ValueError for different shapes."""
    if actual.shape != expected.shape:
        raise ValueError(f"the shapes {list(actual.shape)} and {list(expected.shape)} differ")
    a, x = actual.astype(np.float64).reshape(-1), expected.astype(np.float64).reshape(-1)
    finite = np.isfinite(a) & np.isfinite(x)
    same = (a == x) | (np.isnan(a) & np.isnan(x))
    misplaced = int(np.count_nonzero(~finite & ~same))
    a, x = a[finite], x[finite]
    error = a - x
    square, reference = float(error @ error), float(x @ x)
    peak = float(np.abs(x).max(initial=0))
    nonzero = x != 0
    return Comparison(
        shape=tuple(actual.shape),
        dtype=str(actual.dtype),
        max_abs=float(np.abs(error).max(initial=0)),
        max_rel=float((np.abs(error[nonzero]) / np.abs(x[nonzero])).max(initial=0)),
        l2_relative=_ratio(math.sqrt(square), math.sqrt(reference)),
        snr_db=_decibels(reference, square),
        psnr_db=_decibels(peak * peak * max(x.size, 1), square),
        cosine=_cosine(a, x),
        top1=_top1(actual, expected),
        equal=float(np.count_nonzero(same)) / same.size if same.size else 1.0,
        misplaced=misplaced,
    )


def l2_relative(actual: np.ndarray, expected: np.ndarray) -> float:
    """Comparison.l2_relative alone; infinite where an element is misplaced."""
    found = compare(actual, expected)
    return math.inf if found.misplaced else found.l2_relative


def _ratio(dividend: float, divisor: float) -> float:
    if dividend == 0:
        return 0.0
    return dividend / divisor if divisor else math.inf


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _cosine(a: np.ndarray, x: np.ndarray) -> float:
    lengths = math.sqrt(float(a @ a) * float(x @ x))
    if lengths == 0:
        return 1.0 if not a.any() and not x.any() else 0.0
    return float(np.clip((a @ x) / lengths, -1.0, 1.0))


def _top1(actual: np.ndarray, expected: np.ndarray) -> float | None:
    if actual.ndim == 0 or actual.shape[-1] < 2 or not actual.size or actual.dtype.kind == "b":
        return None
    return float(np.mean(actual.argmax(axis=-1) == expected.argmax(axis=-1)))
