"""NaN and infinity: what a program makes of them, the engine makes of them too."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from op_testing import IOS16, check, mb

MODES = ("float32", "float16")
X = np.array([[np.nan, -1, 0, 2, -np.inf, np.inf, 7, np.nan]], np.float32)


def _limited(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.minimum(np.maximum(x, np.float32(low)), np.float32(high))


UNARY: dict[str, tuple[Callable, Callable[[np.ndarray], np.ndarray]]] = {
    "relu": (lambda x: mb.relu(x=x), lambda x: np.maximum(x, 0)),
    "relu6": (lambda x: mb.relu6(x=x), lambda x: _limited(x, 0, 6)),
    "clip": (lambda x: mb.clip(x=x, alpha=-0.5, beta=3.0), lambda x: _limited(x, -0.5, 3)),
    "clip from below": (lambda x: mb.clip(x=x, alpha=-0.5, beta=np.inf), lambda x: _limited(x, -0.5, np.inf)),
    "clamped_relu": (lambda x: mb.clamped_relu(x=x, alpha=0.5, beta=3.0), lambda x: np.minimum(np.where(x > 0, x, 0.5 * x), 3)),
    "threshold": (lambda x: mb.threshold(x=x, alpha=1.0), lambda x: np.maximum(x, 1)),
    "sigmoid_hard": (lambda x: mb.sigmoid_hard(x=x, alpha=0.25, beta=0.5), lambda x: _limited(x * 0.25 + 0.5, 0, 1)),
    "maximum with a constant": (lambda x: mb.maximum(x=x, y=np.float32(1)), lambda x: np.maximum(x, 1)),
    "minimum with a constant": (lambda x: mb.minimum(x=np.float32(1), y=x), lambda x: np.minimum(x, 1)),
    "relu of a sum": (lambda x: mb.relu(x=mb.add(x=x, y=np.float32(1))), lambda x: np.maximum(x + 1, 0)),
    "relu of relu": (lambda x: mb.relu6(x=mb.relu(x=x)), lambda x: _limited(x, 0, 6)),
    "exp": (lambda x: mb.exp(x=x), np.exp),
    "exp2": (lambda x: mb.exp2(x=x), np.exp2),
    "softplus": (lambda x: mb.softplus(x=x), lambda x: np.logaddexp(0, x)),
    "gelu": (
        lambda x: mb.gelu(x=x),
        lambda x: torch.nn.functional.gelu(torch.from_numpy(x)).numpy(),
    ),
    "gelu by tanh": (
        lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x: torch.nn.functional.gelu(torch.from_numpy(x), approximate="tanh").numpy(),
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", UNARY)
def test_element_by_element(name: str, mode: str) -> None:
    build, reference = UNARY[name]
    with np.errstate(all="ignore"):
        expected = reference(X.astype(np.float64))
    check(build, {"x": X}, expected, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_the_larger_and_the_smaller_of_two(mode: str) -> None:
    x = np.array([np.nan, 1, np.nan, np.inf, -np.inf, 2], np.float32)
    y = np.array([1, np.nan, np.nan, 0, np.nan, 3], np.float32)
    check(
        lambda x, y: (mb.maximum(x=x, y=y), mb.minimum(x=x, y=y)),
        {"x": x, "y": y},
        [np.maximum(x, y), np.minimum(x, y)],
        mode=mode,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [(2,), (1,), (0, 2), (1, 2), (0, 1, 2)])
def test_extrema_along_axes(axes: tuple[int, ...], mode: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 8, 40)).astype(np.float32)
    x[0, 2, 0] = x[0, 3, 5] = x[1, 4, 39] = np.nan
    x[2, 1, :] = -np.inf
    x[2, 2, :] = np.inf
    check(
        lambda x: (mb.reduce_max(x=x, axes=axes), mb.reduce_min(x=x, axes=axes)),
        {"x": x},
        [x.max(axis=axes), x.min(axis=axes)],
        mode=mode,
    )


@pytest.mark.parametrize("mode", MODES)
def test_logarithm_of_a_sum_of_exponentials(mode: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 12)).astype(np.float32)
    x[0, 3], x[1, 2], x[2] = np.nan, np.inf, -np.inf
    check(
        lambda x: mb.reduce_log_sum_exp(x=x, axes=[1]),
        {"x": x},
        torch.logsumexp(torch.from_numpy(x).double(), 1).numpy(),
        mode=mode,
    )


def test_a_relu_that_is_computed_inside_a_convolution_says_so_in_float16_mode(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float16)
    x[0, 0, 1, 1] = np.nan
    weight = rng.normal(size=(8, 4, 1, 1)).astype(np.float16)
    expected = torch.relu(torch.conv2d(torch.from_numpy(x).double(), torch.from_numpy(weight).double())).numpy()
    assert math.isnan(expected[0, 0, 1, 1])
    build = lambda x: mb.relu(x=mb.conv(x=x, weight=weight, pad_type="valid"))  # noqa: E731
    check(build, {"x": x}, expected, mode="float16", dtype=np.float16, eps=8, opset=IOS16)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_softmax_beside_infinity_or_nan_is_nan(rng: np.random.Generator, axis: int) -> None:
    x = rng.normal(size=(3, 5, 6)).astype(np.float32)
    x[0, 1, 2], x[2, 4, 0], x[1, :, 3] = np.inf, np.nan, -np.inf
    expected = torch.softmax(torch.from_numpy(x).double(), axis).numpy()
    assert np.isnan(expected).sum() > 2
    check(lambda x: mb.softmax(x=x, axis=axis), {"x": x}, expected, eps=4)


def test_attention_weights_beside_infinity_make_nan_of_the_row(rng: np.random.Generator) -> None:
    """The product has a NaN in every result of such a row, so that the softmax itself may keep it in one place."""
    x, values = rng.normal(size=(2, 4, 6)).astype(np.float32), rng.normal(size=(2, 6, 3)).astype(np.float32)
    x[0, 1, 2], x[1, 3, 0] = np.inf, np.nan
    expected = (torch.softmax(torch.from_numpy(x).double(), -1) @ torch.from_numpy(values).double()).numpy()
    assert np.isnan(expected).sum() == 6
    check(lambda x, v: mb.matmul(x=mb.softmax(x=x, axis=-1), y=v), {"x": x, "v": values}, expected, eps=16)


def test_pools_and_softmax_in_float16_mode(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 3, 6, 6)).astype(np.float16)
    x[0, 0, 1, 1], x[0, 1, 4, 5] = np.nan, np.inf
    x[0, 2, :2, :2] = -np.inf
    wide = torch.from_numpy(x).double()
    check(
        lambda x: mb.max_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
        {"x": x},
        torch.max_pool2d(wide, 2).numpy(),
        mode="float16",
        opset=IOS16,
    )
    pooled = torch.max_pool2d(wide, 2)
    check(
        lambda x: [mb.sub(x=y, y=y) for y in [mb.max_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid")]],
        {"x": x},
        [(pooled - pooled).numpy()],
        mode="float16",
        opset=IOS16,
    )
    check(
        lambda x: mb.softmax(x=x, axis=-1),
        {"x": x},
        torch.softmax(wide, -1).numpy(),
        mode="float16",
        opset=IOS16,
        dtype=np.float16,
        eps=2,
    )
