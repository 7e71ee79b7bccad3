"""batch_norm, instance_norm, l2_norm, layer_norm, local_response_norm against formulas in float64."""

import numpy as np
import pytest
import torch
from op_testing import IOS15, IOS17, IOS18, check, mb, run


def normalized(x, axes, epsilon):
    x = x.astype(np.float64)
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + float(np.float32(epsilon)))


@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("opset", [IOS15, IOS17])
def test_batch_norm(rng, rank, affine, opset):
    x = rng.normal(size=(2, 3, 4, 5, 2)[:rank]).astype(np.float32)
    mean, var, gamma, beta = (rng.normal(size=3).astype(np.float32) for _ in range(4))
    var = np.abs(var) + np.float32(0.1)
    column = lambda v: v.astype(np.float64).reshape(1, 3, *[1] * (rank - 2))  # noqa: E731
    expected = (x - column(mean)) / np.sqrt(column(var) + np.float32(1e-3))
    attributes = {}
    if affine:
        expected = expected * column(gamma) + column(beta)
        attributes = {"gamma": gamma, "beta": beta}
    check(
        lambda x: mb.batch_norm(x=x, mean=mean, variance=var, epsilon=np.float32(1e-3), **attributes),
        {"x": x},
        expected,
        opset=opset,
    )


@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_instance_norm(rng, rank, affine, dynamic):
    x = (rng.normal(size=(2, 3, 6, 5)[:rank]) * 3 + 10).astype(np.float32)
    gamma, beta = rng.normal(size=3).astype(np.float32), rng.normal(size=3).astype(np.float32)
    expected = normalized(x, tuple(range(2, rank)), 1e-5)
    attributes = {}
    if affine:
        expected = expected * gamma.reshape(1, 3, *[1] * (rank - 2)) + beta.reshape(1, 3, *[1] * (rank - 2))
        attributes = {"gamma": gamma, "beta": beta}
    check(
        lambda x: mb.instance_norm(x=x, epsilon=np.float32(1e-5), **attributes),
        {"x": x},
        expected,
        dynamic={"x": list(range(2, rank))} if dynamic else (),
        eps=256,
    )


@pytest.mark.parametrize("axes", [[-1], [2], [1, 2], [-2, -1], [0, 1, 2], [0], [1], [0, 2]])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_layer_norm(rng, axes, affine, dynamic):
    x = rng.normal(size=(4, 3, 8)).astype(np.float32)
    over = tuple(sorted(a % 3 for a in axes))
    shape = [x.shape[a] for a in over]
    gamma, beta = rng.normal(size=shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)
    expected = normalized(x, over, 1e-5)
    attributes = {"axes": axes}
    if affine:
        aligned = [x.shape[a] if a in over else 1 for a in range(3)]
        expected = expected * gamma.reshape(aligned) + beta.reshape(aligned)
        attributes |= {"gamma": gamma, "beta": beta}
    check(
        lambda x: mb.layer_norm(x=x, epsilon=np.float32(1e-5), **attributes),
        {"x": x},
        expected,
        dynamic={"x": [a for a in range(3) if a not in over]} if dynamic and len(over) < 3 else (),
        eps=256,
    )


@pytest.mark.parametrize("epsilon", [1e-5, 1e-12])
def test_layer_norm_uses_the_epsilon_as_stored_in_half(rng, epsilon):
    """A float16 1e-12 is zero or 5.96e-8, not 1e-12: with rows this small it decides the result."""
    x = (rng.normal(size=(2, 8)) * 1e-3).astype(np.float16)
    stored = np.float16(epsilon)

    def build(x):
        return mb.cast(x=mb.layer_norm(x=x, axes=[-1], epsilon=stored), dtype="fp32")

    double = x.astype(np.float64)
    mean = double.mean(-1, keepdims=True)
    expected = (double - mean) / np.sqrt(((double - mean) ** 2).mean(-1, keepdims=True) + float(stored))
    check(build, {"x": x}, expected, opset=IOS18, eps=1024)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 2, 3, 4), (1, 2, 2, 3, 2)])
def test_l2_norm(rng, shape):
    x = rng.normal(size=shape).astype(np.float32)
    squares = (x.astype(np.float64) ** 2).sum((-3, -2, -1), keepdims=True)
    check(
        lambda x: mb.l2_norm(x=x, epsilon=np.float32(1e-4)),
        {"x": x},
        x / np.sqrt(squares + float(np.float32(1e-4))),
    )


@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_local_response_norm(rng, rank, size):
    x = (rng.normal(size=(2, 6, 4, 3, 2)[:rank]) * 4).astype(np.float32)
    expected = torch.nn.functional.local_response_norm(torch.from_numpy(x).double(), size, 0.02, 0.6, 1.5).numpy()
    check(
        lambda x: mb.local_response_norm(x=x, size=size, alpha=np.float32(0.02), beta=np.float32(0.6), k=np.float32(1.5)),
        {"x": x},
        expected,
    )


def test_long_normalizations_are_as_exact_as_one_rounding(rng):
    x = rng.random((1, 1, 250000), dtype=np.float32) + np.float32(1)
    epsilon = np.float32(1e-5)
    layer, instance = run(
        lambda x: (mb.layer_norm(x=x, axes=[-1], epsilon=epsilon), mb.instance_norm(x=x, epsilon=epsilon)),
        {"x": x},
    )
    expected = normalized(x, -1, epsilon)
    for result in (layer, instance):
        assert np.linalg.norm(result - expected) / np.linalg.norm(expected) < 2 * np.finfo(np.float32).eps
