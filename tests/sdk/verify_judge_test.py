"""What blame takes for rounding and what for a fault."""

from __future__ import annotations

import math

import numpy as np
import pytest
from executorch.backends.apple.coreml.sdk.blame_judge import judge
from executorch.backends.apple.coreml.sdk.blame_mapping import plain_name

# Its values are between 1 and 2: half a unit in the last place of float16 is 2^-11.
RIGHT = np.random.default_rng(0).uniform(1, 2, 1000).astype(np.float32)
ROUNDED = RIGHT.astype(np.float16).astype(np.float32)


def test_rounding_is_no_fault() -> None:
    found = judge(RIGHT.astype(np.float16), RIGHT, ROUNDED, precision="float16")
    assert not found.is_wrong
    error = ROUNDED.astype(np.float64) - RIGHT
    assert found.error == pytest.approx(np.linalg.norm(error) / np.linalg.norm(RIGHT.astype(np.float64)), rel=1e-9)
    assert found.allowed == 2.0**-9


def test_more_noise_allows_more() -> None:
    noisy = RIGHT * (1 + np.float32(0.01))
    assert judge(RIGHT * np.float32(1.03), RIGHT, noisy, precision="float16").allowed == pytest.approx(0.04, rel=1e-4)
    assert not judge(RIGHT * np.float32(1.03), RIGHT, noisy, precision="float16").is_wrong
    assert judge(RIGHT * np.float32(1.05), RIGHT, noisy, precision="float16").is_wrong


def test_one_element_is_enough() -> None:
    wrong = RIGHT.copy()
    # Of the norm, 0.1 in 1000 elements is nothing.
    wrong[7] += 0.1
    found = judge(wrong, RIGHT, ROUNDED, precision="float16")
    assert found.error < 0.0025
    assert found.is_wrong


def test_float32_is_held_to_more() -> None:
    assert judge(RIGHT * np.float32(1.0001), RIGHT, RIGHT, precision="float32").is_wrong
    assert not judge(RIGHT * np.float32(1.0001), RIGHT, RIGHT, precision="float16").is_wrong


def test_what_is_not_finite_is_wrong() -> None:
    wrong = RIGHT.astype(np.float16)
    wrong[3] = np.nan
    found = judge(wrong, RIGHT, ROUNDED, precision="float16")
    assert (found.is_wrong, found.error) == (True, math.inf)
    wrong[3] = np.inf
    assert judge(wrong, RIGHT, ROUNDED, precision="float16").is_wrong


def test_values_beyond_the_range_are_followed() -> None:
    right = RIGHT.copy()
    right[:3] = 1e5, -1e5, 2
    with np.errstate(over="ignore"):
        found = judge(right.astype(np.float16), right, right, precision="float16")
    assert not found.is_wrong
    assert found.loss == "overflow"
    assert np.flatnonzero(found.lost).tolist() == [0, 1]
    # Infinity of the other sign is no overflow.
    wrong = right.astype(np.float32)
    assert judge(-np.float16([np.inf]), np.float32([1e5]), np.float32([1e5]), precision="float16").is_wrong
    assert judge(wrong.astype(np.float64).astype(np.float32), right, right, precision="float16").lost is None


def test_masks_of_the_largest_number_are_right() -> None:
    mask = np.float32([0, -3.4e38, 1])
    found = judge(np.float16([0, -65504, 1]), mask, mask, precision="float16")
    assert not found.is_wrong
    assert found.lost is None


def test_values_that_vanish_are_followed() -> None:
    right = np.full(10, 1e-9, np.float32)
    found = judge(np.zeros(10, np.float16), right, np.zeros(10, np.float32), precision="float16")
    assert not found.is_wrong
    assert found.loss == "vanish"
    assert found.lost.all()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("aten_add_tensor_cast_fp16", "aten_add_tensor"),
        ("aten_add_tensor_3_cast_fp16_1", "aten_add_tensor_3"),
        ("x_to_fp16", "x"),
        ("aten_exp_default_cast_fp16_to_fp32", "aten_exp_default"),
        ("indices_cast_uint16", "indices"),
        ("aten__to_copy_default", "aten__to_copy_default"),
    ],
)
def test_names_without_what_coremltools_adds(name, plain) -> None:
    assert plain_name(name) == plain
