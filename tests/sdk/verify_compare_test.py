"""The measures of `coreml verify`, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from executorch.backends.apple.coreml.sdk.compare import compare, l2_relative


def test_measures_of_a_small_example() -> None:
    expected = np.float32([[3, 4], [0, 12]])
    actual = np.float32([[3, 5], [2, 12]])
    found = compare(actual, expected)
    # e = (0, 1, 2, 0); |expected|^2 = 169, |actual|^2 = 182, expected . actual = 9 + 20 + 0 + 144 = 173.
    assert found.max_abs == 2
    assert found.max_rel == 0.25
    assert found.l2_relative == pytest.approx(math.sqrt(5) / 13, rel=1e-12)
    assert found.snr_db == pytest.approx(10 * math.log10(169 / 5), rel=1e-12)
    assert found.psnr_db == pytest.approx(10 * math.log10(144 / (5 / 4)), rel=1e-12)
    assert found.cosine == pytest.approx(173 / math.sqrt(169 * 182), rel=1e-12)
    assert found.top1 == 1.0
    assert found.equal == 0.5
    assert found.misplaced == 0
    assert (found.shape, found.dtype) == ((2, 2), "float32")


def test_top1_counts_rows() -> None:
    expected = np.float32([[1, 2, 3], [3, 2, 1], [0, 5, 0], [1, 0, 0]])
    actual = np.float32([[1, 2, 3], [1, 2, 3], [0, 5, 0], [0, 0, 1]])
    assert compare(actual, expected).top1 == 0.5
    assert compare(expected[:, :1], expected[:, :1]).top1 is None
    assert compare(np.float32(1), np.float32(1)).top1 is None


def test_equal_arrays() -> None:
    x = np.float32([1, -2, 0])
    found = compare(x, x)
    assert (found.max_abs, found.max_rel, found.l2_relative, found.cosine, found.equal) == (0, 0, 0, 1, 1)
    assert found.snr_db == found.psnr_db == math.inf
    # JSON has no infinity.
    assert found.to_json()["snr_db"] is None
    assert found.to_json()["l2_relative"] == 0


def test_expected_zeros() -> None:
    found = compare(np.float32([0, 1]), np.zeros(2, np.float32))
    assert (found.max_abs, found.max_rel, found.l2_relative, found.cosine) == (1, 0, math.inf, 0)
    assert found.snr_db == -math.inf
    assert compare(np.zeros(2), np.zeros(2)).cosine == 1


def test_what_is_not_finite_must_be_in_the_same_places() -> None:
    expected = np.float32([1, np.inf, np.nan, -np.inf, 2])
    assert compare(expected, expected).misplaced == 0
    assert compare(expected, expected).equal == 1
    # NaN for 1, -inf for inf, finite for NaN.
    actual = np.float32([np.nan, -np.inf, 3, -np.inf, 2.5])
    found = compare(actual, expected)
    assert found.misplaced == 3
    assert found.max_abs == 0.5
    assert l2_relative(actual, expected) == math.inf
    assert l2_relative(expected, expected) == 0


def test_integers_and_bools() -> None:
    found = compare(np.int64([1, 2, 3, 4]), np.int64([1, 2, 3, 5]))
    assert (found.equal, found.max_abs) == (0.75, 1)
    assert compare(np.array([True, False]), np.array([True, True])).equal == 0.5


def test_empty_arrays_are_equal() -> None:
    found = compare(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
    assert (found.l2_relative, found.equal, found.top1) == (0, 1, None)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the shapes \[2\] and \[3\] differ"):
        compare(np.zeros(2), np.zeros(3))
